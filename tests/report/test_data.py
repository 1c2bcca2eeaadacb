"""What the page says of the data: preparation, leakage, licences."""

from dataclasses import replace

import pandas as pd
import pytest

from morphpipe.config.preprocessing import Preprocessing
from morphpipe.datasets.splits.leakage import HELD_OUT, LEAKAGE_COLUMNS, SAME_WELL
from morphpipe.report.evidence import read_evidence
from morphpipe.report.findings.leakage import leakage
from morphpipe.report.licences import datasets_in_use, licence_table
from morphpipe.report.preparation import pixel_size, preparation, rgb_rule, window_table
from morphpipe.report.section import build_section

from . import own_plates
from .conftest import CHANNELS, MANIFEST


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


@pytest.fixture(scope="module")
def own(own_inputs):
    return read_evidence(own_inputs.experiments[0], own_inputs.configuration)


def said(**settings):
    return preparation(replace(MANIFEST, preprocessing=Preprocessing(**settings).model_dump()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "From the 0.1th and 99.9th percentile of the channel over the plate"),
        ({"scale_over": "field", "percentiles": (1, 99)}, "from the 1st and 99th percentile of"),
        ({"scaling": "minmax"}, "from minimum and maximum of each plane"),
        ({"scaling": "fixed", "windows": {"DNA": (1, 2)}}, "one window per channel"),
        ({"illumination": "plate", "sigma": 80}, "over its plate, smoothed (gaussian, sigma 80"),
        ({"illumination": "plate-site"}, "over the same site of its plate"),
        ({"illumination": "given"}, "that came with the data"),
        ({"background": 2}, "The 2nd percentile of each plane was subtracted"),
        ({"background": 12}, "The 12th percentile"),
        ({"resize": "tiles", "size": 256}, "cut into tiles of 256 × 256 pixels"),
        ({"resize": "centre-crop"}, "the central 512 × 512 pixels"),
        ({"order": "scaling-first", "scaling": "minmax"}, "which is wrong"),
    ],
)
def test_every_setting_is_told(settings, words):
    assert words.lower() in said(**settings).lower()


def test_steps_are_told_in_their_order():
    text = said(background=1, illumination="plate", resize="squash")
    places = [text.index(w) for w in ("subtracted", "was divided by an", "scaled", "rescaled")]
    assert places == sorted(places)
    late = said(illumination="plate", scaling="minmax", order="scaling-first")
    assert late.index("were scaled") < late.index("was divided by an")


def test_nothing_done_is_said():
    assert preparation(MANIFEST) == "As published, without preprocessing."
    assert preparation(MANIFEST, simulated=True) == "As simulated, without preprocessing."
    assert window_table(MANIFEST) is None


def test_rgb_rules():
    assert "Recursion's published table" in rgb_rule(MANIFEST)
    assert "Red is the plane actin, green tubulin" in rgb_rule(own_plates.MANIFEST)
    assert "There are no RGB renderings" in rgb_rule(
        replace(MANIFEST, channels=MANIFEST.channels[:4])
    )


def test_pixels_and_windows(own):
    assert pixel_size(own) == (
        "Fields of 32 × 32 pixels (height × width); a pixel is 0.65 µm wide and high."
    )
    oblong = replace(own.real, manifest=replace(own.real.manifest, pixel_size=(0.5, 0.25)))
    assert "0.5 µm high and 0.25 µm wide" in pixel_size(replace(own, real=oblong))
    windows = window_table(own.real.manifest)
    assert [cell.text for cell in windows.headers] == ["plate", *own_plates.CHANNELS]
    assert [cell.text for cell in windows.rows[0]] == [
        "p1", "91.0 to 4,000", "70.0 to 900", "60.0 to 700",
    ]  # fmt: skip


def test_no_leak_is_said_with_what_was_checked(evidence):
    found = leakage(evidence)
    assert found.holds is True
    assert found.verdict.startswith("No well, held-out condition or identical image")
    assert "120 fields of 120 wells" in found.checked
    assert "raw pixels of all fields" in found.checked
    assert found.table is None
    assert leakage(replace(evidence, leakage=None)).holds is None


def test_leaks_are_counted_by_kind_and_listed(evidence, own):
    found = leakage(own)
    assert found.holds is False
    assert found.verdict.startswith("1 pair of identical images is on different sides.")
    assert len(found.table.rows) == found.found == 1
    rows = [(HELD_OUT, "a", "train", None, None, "perturbation x")] * 2
    rows += [(SAME_WELL, "a", "test", "b", "train", "w")]
    leaks = pd.DataFrame(rows, columns=LEAKAGE_COLUMNS).astype("string")
    several = leakage(replace(evidence, leakage=leaks))
    assert "2 fields of held-out conditions are on a side other than test" in several.verdict
    assert "1 pair of fields of the same well is on different sides" in several.verdict


def test_fields_without_a_hash_are_not_said_to_be_compared(evidence):
    quality = evidence.quality.copy()
    quality.loc[:9, "pixels_sha256"] = None
    assert "raw pixels of 110 fields" in leakage(replace(evidence, quality=quality)).checked


def rows_of(table):
    return {row[1].text: [cell.text for cell in row] for row in table.rows}


def test_ledger_names_all_data_and_weights(inputs, evidence):
    section = build_section(inputs.configuration, evidence)
    rows = rows_of(licence_table(inputs, [section]))
    assert rows["screen"][2:] == [
        "none needed (simulated)", "not needed", "the simulated screen, seed 3", "simulated",
    ]  # fmt: skip
    assert rows["sd-vae"][2:4] == ["MIT", "accepted in licences.accept"]
    assert "cd" * 32 in rows["sd-vae"][5]


def test_ledger_counts_the_data_that_a_autoencoder_was_trained_on(inputs, evidence):
    configuration = inputs.configuration
    rxrx1 = own_plates.parse_configuration(
        {
            "datasets": {"cells": {"source": "rxrx1", "metadata_sha256": "ab" * 32}},
            "splits": {},
            "autoencoders": {},
            "encoders": {},
            "experiments": {},
        }
    ).datasets["cells"]
    other = configuration.splits["by-well"].model_copy(update={"dataset": "cells"})
    changed = configuration.model_copy(
        update={
            "datasets": {**configuration.datasets, "cells": rxrx1},
            "splits": {**configuration.splits, "other": other},
            "autoencoders": {
                "own": configuration.autoencoders["own"].model_copy(update={"split": "other"})
            },
        }
    )
    assert datasets_in_use(changed)["cells"] == ["autoencoder own"]
    section = build_section(configuration, evidence)
    checksums = {rxrx1.images: "12" * 32, "https://elsewhere/x.zip": "34" * 32}
    table = licence_table(replace(inputs, configuration=changed, checksums=checksums), [section])
    row = rows_of(table)["cells"]
    assert row[3] == "NOT in licences.accept"
    assert "12" * 32 in row[5]
    assert "ab" * 32 in row[5]
    assert "34" * 32 not in row[5]


def test_own_plates_need_no_accepting(own_inputs, own):
    section = build_section(own_inputs.configuration, own)
    row = rows_of(licence_table(own_inputs, [section]))["plates"]
    assert row[2:] == ["own data", "not needed", "own plates, plates.csv", "none recorded"]


def test_channels_are_those_of_the_fixture():
    assert MANIFEST.names == CHANNELS
