from dataclasses import replace

import numpy as np
import pytest

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.config.raw_datasets import SheetDataset
from morphpipe.imaging.rgb import RGB_CHANNELS, rxrx1_to_rgb
from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures import pictures
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.manifest import Channel

from .conftest import CELL_TYPES, CHANNELS, MANIFEST, PERTURBATIONS

OWN = SheetDataset(
    source="sheet", sheet="plates.csv", channels=[{"name": "DNA", "stain": "Hoechst"}]
)


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


def test_choice_is_by_position_and_held_out(evidence):
    windows = dict.fromkeys(CHANNELS, 255.0)
    rows = pictures.sample_rows(evidence, windows)
    conditions = [(c, p) for c in CELL_TYPES for p in PERTURBATIONS]
    assert [(row.cell_type, row.perturbation) for row in rows] == conditions
    for number, row in enumerate(rows):
        shown = [tile.field_id for tile in row.real]
        keys = evidence.test_fields.keys()
        mask = (keys["cell_type"] == row.cell_type) & (keys["perturbation"] == row.perturbation)
        assert shown == sorted(keys[mask]["field_id"])[: pictures.PER_CONDITION]
        assert set(shown) <= evidence.test_ids
        made = [tile.field_id for tile in row.generated]
        assert sorted(made) == made
        assert all(name.startswith("g-0-") for name in made), number
        assert [name[-3:] for name in made] == ["000", "001", "002", "003"]


def test_window_is_the_percentile_of_held_out_images(evidence):
    windows = pictures.display_windows(evidence)
    fields = evidence.test_fields
    with FieldReader(fields) as reader:
        images = np.stack([reader.read(row) for row in range(len(fields))])
    assert len(fields) <= 32
    for i, name in enumerate(CHANNELS):
        assert windows[name] == pytest.approx(np.quantile(images[:, i], 0.995))


def test_recursions_table_for_rxrx1_alone(evidence):
    stack = np.random.default_rng(0).integers(0, 256, (6, 5, 7), dtype=np.uint8)
    published = rxrx1_to_rgb(stack)
    windows = dict.fromkeys(CHANNELS, 255.0)

    def shown(dataset):
        return pictures.to_colour(stack, MANIFEST, windows, replace(evidence, dataset=dataset))

    np.testing.assert_array_equal(shown(RxRx1Dataset(source="rxrx1")), published)
    # Own plates with the same stains were scaled to 0 to 255: the table's limits are not theirs.
    composite = np.stack([stack[CHANNELS.index(n)] for n in ("actin", "ER", "DNA")], axis=-1)
    np.testing.assert_array_equal(shown(OWN), composite)


def test_images_that_are_colour_already_are_shown_as_they_are(evidence):
    stack = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    manifest = replace(MANIFEST, channels=tuple(Channel(n, "") for n in RGB_CHANNELS))
    shown = pictures.to_colour(stack, manifest, dict.fromkeys(CHANNELS, 10.0), evidence)
    np.testing.assert_array_equal(shown, stack.transpose(1, 2, 0))


def test_rgb_generators_are_held_against_what_they_were_trained_on(evidence):
    # Unstretched, as the training images were: a stretch of real images alone would be unfair.
    stack = np.random.default_rng(0).integers(0, 100, (6, 5, 7), dtype=np.uint8)
    manifest = replace(MANIFEST, rgb=("mito", "DNA", "ER"))
    experiment = evidence.experiment.model_copy(update={"image_mode": "rgb"})
    of = replace(evidence, experiment=experiment, real=replace(evidence.real, manifest=manifest))
    shown = pictures.to_colour(stack, manifest, dict.fromkeys(CHANNELS, 50.0), of)
    np.testing.assert_array_equal(shown, stack[[4, 0, 1]].transpose(1, 2, 0))
    assert "mito red, DNA green, ER blue" in pictures.colour_note(of)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "actin red, ER green, DNA blue"),
        ({"rgb": ("mito", "RNA", "Golgi")}, "mito red, RNA green, Golgi blue"),
        ({"channels": MANIFEST.channels[:2]}, "DNA red, ER green; each"),
        ({"channels": MANIFEST.channels[:1]}, "single channel DNA"),
    ],
)
def test_note_names_the_colours_of_these_data(evidence, change, words):
    of = replace(evidence, real=replace(evidence.real, manifest=replace(MANIFEST, **change)))
    assert words in pictures.colour_note(of)


def test_both_sides_of_a_channel_share_the_window(evidence):
    windows = {name: 40.0 + 10 * i for i, name in enumerate(CHANNELS)}
    for row in pictures.channel_rows(evidence, windows):
        assert row.perturbation == PERTURBATIONS[0]
        sides = ((evidence.test_fields,), row.real), (evidence.generated, row.generated)
        for tables, side in sides:
            table = next(t for t in tables if side[0].field_id in t.field_ids)
            with FieldReader(table) as reader:
                stack = reader.read(table.field_ids.index(side[0].field_id))
            for plane, tile, white in zip(stack, side, windows.values(), strict=True):
                expected = np.minimum(plane / white, 1) * 255
                np.testing.assert_allclose(tile.pixels, expected, atol=0.51)
