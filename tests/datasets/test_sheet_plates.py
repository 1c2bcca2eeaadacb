import os

import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.sheet_plates import (
    files_sha256,
    image_columns,
    rows_sha256,
    sheet_plates,
)

ROWS = [
    {"plate": "p9", "well": "A01", "perturbation": "DMSO", "dna": "a.tif"},
    {"plate": "p9", "well": "A02", "perturbation": "taxol", "dna": "b.tif"},
    {"plate": "p1", "well": "A01", "perturbation": "DMSO", "dna": "c.tif"},
]


def write(path, rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_plates_come_in_the_order_of_their_first_rows(tmp_path):
    path = write(tmp_path / "sheet.csv", ROWS)
    assert sheet_plates(path) == ("p9", "p1")
    write(path, [*ROWS, ROWS[0] | {"plate": "p5"}])
    assert sheet_plates(path) == ("p9", "p1", "p5")


def test_hash_is_of_the_plates_own_rows(tmp_path):
    path = write(tmp_path / "sheet.csv", ROWS)
    before = {plate: rows_sha256(path, plate) for plate in ("p9", "p1")}
    other = tmp_path / "longer.csv"
    write(other, [*ROWS, ROWS[0] | {"plate": "p5"}])
    assert {plate: rows_sha256(other, plate) for plate in ("p9", "p1")} == before
    changed = write(tmp_path / "changed.csv", [ROWS[0] | {"dna": "z.tif"}, *ROWS[1:]])
    assert rows_sha256(changed, "p9") != before["p9"]
    assert rows_sha256(changed, "p1") == before["p1"]


def test_hash_of_files_is_of_the_plates_own_files(tmp_path):
    path = write(tmp_path / "sheet.csv", ROWS)
    for name in "abc":
        (tmp_path / f"{name}.tif").write_bytes(b"pixels")

    def hashes():
        return [files_sha256(path, plate, ["dna", "er"]) for plate in ("p9", "p1")]

    before = hashes()
    os.utime(tmp_path / "a.tif", (1, 1))
    later = hashes()
    assert later[0] != before[0]
    assert later[1] == before[1]
    (tmp_path / "a.tif").write_bytes(b"more pixels")
    os.utime(tmp_path / "a.tif", (1, 1))
    assert hashes()[0] != later[0]
    assert hashes()[1] == before[1]
    # A missing file is no error here, and one that arrives later is noticed.
    (tmp_path / "c.tif").unlink()
    assert hashes()[1] != before[1]


@pytest.mark.parametrize(
    ("location", "file"),
    [
        ("plate.zip!folder/a.tif", "plate.zip"),
        ("stack.tif#1", "stack.tif"),
        ("functions.zip!dna.npy", "functions.zip"),
        ("dna.npy", "dna.npy"),
        ("no image", None),
    ],
)
def test_hash_of_files_follows_every_kind_of_location(tmp_path, location, file):
    column = "illumination:dna" if "npy" in location else "dna"
    path = write(tmp_path / "sheet.csv", [ROWS[0] | {column: location}])
    before = files_sha256(path, "p9", [column])
    if file is not None:
        (tmp_path / file).write_bytes(b"content")
    assert (files_sha256(path, "p9", [column]) == before) == (file is None)


def test_sheet_without_plates_is_an_error(tmp_path):
    path = write(tmp_path / "sheet.csv", [{"well": "A01"}])
    with pytest.raises(DataError, match="no column `plate`"):
        sheet_plates(path)
    with pytest.raises(DataError, match="does not exist"):
        sheet_plates(tmp_path / "nowhere.csv")


def test_columns_of_images_are_found():
    assert image_columns(pd.DataFrame(ROWS)) == ["dna"]
    with pytest.raises(DataError, match="one per channel"):
        image_columns(pd.DataFrame(ROWS).drop(columns="dna"))
