from dataclasses import replace

import numpy as np
import pytest

from morphpipe.report.figures.composite import composite, composite_channels, white_levels
from morphpipe.report.figures.contact_sheet import contact_sheet
from morphpipe.tables.manifest import Channel

from .conftest import CHANNELS, MANIFEST


def manifest_of(*names, rgb=None):
    return replace(MANIFEST, channels=tuple(Channel(name, "") for name in names), rgb=rgb)


@pytest.mark.parametrize(
    ("manifest", "shown"),
    [
        (manifest_of(*CHANNELS), ("actin", "ER", "DNA")),
        (manifest_of(*CHANNELS, rgb=("mito", "RNA", "DNA")), ("mito", "RNA", "DNA")),
        (
            manifest_of("DNA", "tubulin", "actin", rgb=("actin", "tubulin", "DNA")),
            ("actin", "tubulin", "DNA"),
        ),
        (manifest_of("DNA", "AGP", "mito", "RNA"), ("DNA", "AGP", "mito")),
        (manifest_of("DNA", "AGP"), ("DNA", "AGP")),
        (manifest_of("DNA"), ("DNA",)),
    ],
)
def test_the_datas_own_rule_then_names_then_the_first(manifest, shown):
    assert composite_channels(manifest) == shown


def test_planes_are_stretched_to_white_and_clipped():
    manifest = manifest_of("a", "b", "c", rgb=("c", "a", "b"))
    stack = np.stack([np.full((2, 2), value, np.uint8) for value in (25, 50, 200)])
    colour = composite(stack, manifest, {"a": 100.0, "b": 100.0, "c": 100.0})
    assert colour[0, 0].tolist() == [255, 64, 128]


@pytest.mark.parametrize(("number", "pixel"), [(1, [51, 51, 51]), (2, [51, 51, 0])])
def test_fewer_than_three_channels(number, pixel):
    manifest = manifest_of(*"ab"[:number])
    stack = np.full((number, 3, 4), 51, np.uint8)
    colour = composite(stack, manifest, {})
    assert colour.shape == (3, 4, 3)
    assert colour[0, 0].tolist() == pixel


def test_white_is_the_percentile_over_all_images():
    images = np.random.default_rng(0).integers(0, 3000, (3, 2, 20, 20), dtype=np.uint16)
    white = white_levels(images, manifest_of("a", "b"))
    assert white["a"] == pytest.approx(np.quantile(images[:, 0], 0.995))
    assert white["b"] == pytest.approx(np.quantile(images[:, 1], 0.995))
    dark = white_levels(np.zeros((1, 2, 4, 4), np.uint8), manifest_of("a", "b"))
    assert dark == {"a": 1.0, "b": 1.0}


def test_rgb_images_are_not_stretched():
    images = np.full((1, 3, 4, 4), 9, np.uint8)
    assert set(white_levels(images, manifest_of("red", "green", "blue")).values()) == {255.0}


def test_contact_sheet_shows_the_rows_of_the_table(make_fields, make_row, tmp_path):
    rows = [make_row(f"f{i}", perturbation="a" if i < 3 else "b") for i in range(4)]
    fields, images = make_fields(tmp_path / "x.zip", rows=rows, names=("DNA", "AGP", "mito"))
    figure = contact_sheet(fields, 2)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 3
    white = white_levels(images[[0, 1, 3]], fields.manifest)
    np.testing.assert_array_equal(shown[1], composite(images[1], fields.manifest, white))
