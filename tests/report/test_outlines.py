from dataclasses import replace

import numpy as np
import pytest

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.core.errors import DataError
from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures.composite import composite
from morphpipe.report.figures.outlines import MOST_FIELDS, outline_tiles, outlined, read_labels
from morphpipe.report.figures.pictures import display_windows
from morphpipe.tables.field_reader import FieldReader


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


def square(size, low, high):
    labels = np.zeros((size, size), np.int32)
    labels[low:high, low:high] = 1
    return labels


def test_an_outline_lies_on_the_border_inside_the_object():
    colour = np.zeros((384, 384, 3), np.uint8)
    drawn = outlined(colour, {"Nuclei": square(384, 100, 200)})
    inked = drawn.any(axis=-1)
    expected = np.zeros((384, 384), bool)
    expected[100:200, 100:200] = True
    expected[101:199, 101:199] = False
    assert (inked == expected).all()


def test_small_fields_are_enlarged_by_a_whole_number():
    drawn = outlined(np.zeros((96, 80, 3), np.uint8), {"Cells": square(96, 10, 40)[:, :80]})
    assert drawn.shape == (384, 320, 3)
    rows = np.flatnonzero(drawn.any(axis=(1, 2)))
    assert (rows[0], rows[-1]) == (40, 159)


def test_nuclei_lie_above_cells_and_the_picture_stays():
    colour = np.full((384, 384, 3), 7, np.uint8)
    same = square(384, 50, 60)
    drawn = outlined(colour, {"Nuclei": same, "Cells": same})
    assert drawn[50, 55].tolist() == [255, 221, 51]
    assert (drawn[100] == 7).all()
    assert (colour == 7).all()


def test_tiles_are_the_kept_fields_of_both_sides(evidence, tmp_path):
    real = evidence.real.field_ids[: MOST_FIELDS + 2]
    generated = evidence.generated[1].field_ids[:2]
    size = evidence.real.table["height"][0].as_py()
    for name, ids in (("real", real), ("generated", generated)):
        arrays = {f"{i}/Nuclei": square(size, 5, 12) for i in ids}
        np.savez_compressed(tmp_path / f"{name}.npz", **arrays)
    found = outline_tiles(evidence, [tmp_path / "real.npz"], [tmp_path / "generated.npz"])
    assert [tile.field_id for tile in found[0]] == list(real)[:MOST_FIELDS]
    assert [tile.field_id for tile in found[1]] == list(generated)


def test_crowded_fields_of_rxrx1_do_not_turn_white(evidence, tmp_path):
    """Recursion's colours add up to white where all stains are bright."""
    dataset = RxRx1Dataset.model_validate({"source": "rxrx1"})
    bright = replace(evidence, dataset=dataset)
    field_id = evidence.real.field_ids[0]
    size = evidence.real.table["height"][0].as_py()
    np.savez_compressed(tmp_path / "real.npz", **{f"{field_id}/Nuclei": square(size, 0, 0)})
    ((tile,), _) = outline_tiles(bright, [tmp_path / "real.npz"], [])
    windows = display_windows(bright)
    with FieldReader(bright.real.select({field_id})) as reader:
        shown = composite(reader.read(0), bright.real.manifest, windows)
    assert (tile.pixels == outlined(shown, {})).all()


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "labels.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"labels\.npz contains no label images"):
        read_labels(path)
