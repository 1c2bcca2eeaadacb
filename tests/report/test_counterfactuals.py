"""What the page of counterfactuals says."""

import numpy as np
import pytest

from morphpipe.report.counterfactuals import (
    CounterfactualPage,
    Differences,
    Pair,
    counterfactual_page,
    difference_table,
    mean_difference,
    reading,
)


def differences(reconstructed=2.0, treated=8.0, apart=20.0, fields=3):
    full = lambda value, n=fields: np.full((n, 2), float(value))  # noqa: E731
    return Differences(
        full(1), full(reconstructed), full(treated), full(7), full(apart, fields - 1)
    )


def test_differences_are_means_by_field_and_channel():
    one, other = np.zeros((2, 3, 4, 4), np.uint8), np.zeros((2, 3, 4, 4), np.uint8)
    one[0, 1], other[1, 2, :2] = 255, 10
    np.testing.assert_array_equal(mean_difference(one, other), [[0, 255, 0], [0, 0, 5]])


def test_what_is_lost_on_the_way_stands_beside_what_changes():
    said = reading(differences())
    assert "by 8.00 grey values" in said[0]
    assert "4.00 times less" in said[0]
    assert said[1:] == ["Two different start fields differ by 20.0."]
    assert "hardly anything" in " ".join(reading(differences(reconstructed=5)))
    assert "no nearer to their start" in " ".join(reading(differences(apart=7)))
    # A single field has no other, and a round trip may lose nothing.
    assert len(reading(differences(reconstructed=0, fields=1))) == 1


def test_the_table_gives_the_range_of_the_fields():
    table = difference_table(differences(), ("DNA", "ER"))
    assert [cell.text for cell in table.headers] == ["between", "all channels", "DNA", "ER"]
    assert len(table.rows) == 5
    assert table.rows[2][1].value == 8
    assert table.rows[2][1].note == "8.00 to 8.00"
    assert len(difference_table(differences(fields=1), ("DNA", "ER")).rows) == 4


@pytest.mark.parametrize("from_images", [False, True])
def test_names_from_outside_are_text(make_manifest, from_images):
    image = np.zeros((2, 8, 8), np.uint8)
    page = counterfactual_page(
        CounterfactualPage(
            treatment="<script>a", from_images=from_images, guidance=1.0, fields=30,
            pairs=[Pair("f0", "U2OS, <b>", image, image, image)], differences=differences(),
            manifest=make_manifest(), facts={"experiment": "<i>"}, notes=["<u>"],
        )
    )  # fmt: skip
    assert not any(tag in page for tag in ("<script>", "<b>", "<i>", "<u>"))
    assert "The first 1 of 30 fields" in page
    assert ("adds noise to the start" in page) == from_images
    assert "Guidance of" not in page
