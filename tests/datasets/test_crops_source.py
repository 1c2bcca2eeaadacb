"""Published single-cell crops, in each of the three layouts, from a zip archive and a folder."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from morphpipe.config.datasets import CropsDataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.crops_source import CropsSource
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import write_fields

SIZE = 8
# Keys with the paths that follow from them, and the rest of the index.
INDICES = {
    "bbbc021": {
        "channels": 3,
        "rows": [
            ("Week4_27801_B02_s1_10", "Week4/27801/B02_s1_10", "DMSO", "DMSO", "0", "0.0"),
            ("Week4_27801_B04_s1_7", "Week4/27801/B04_s1_7", "Cytochalasin B", "Actin", "1", "15"),
            ("Week4_27821_B04_s2_7", "Week4/27821/B04_s2_7", "Cytochalasin B", "Actin", "1", "5.0"),
        ],
    },
    "rxrx1": {
        "channels": 6,
        "rows": [
            ("U2OS-U2OS_01_1_B02_s1_0", "U2OS_01/1/B02_s1_0", "EMPTY", "", "control", ""),
            ("U2OS-U2OS_01_2_C05_s2_3", "U2OS_01/2/C05_s2_3", "s501", "", "trt", ""),
        ],
    },
    "cpg0000": {
        "channels": 5,
        "rows": [
            ("BR1_A01_1_10", "BR1/A01_1/A01_1_10", "DMSO", "", "control", ""),
            ("BR1_A02_4_11", "BR1/A02_4/A02_4_11", "BRD-K1", "", "trt", ""),
        ],
    },
}  # fmt: skip


def make(path: Path, layout: str, *, packed: bool, without: str = "") -> dict[str, np.ndarray]:
    """Write an archive or a folder, and return the images [C, H, W] by key."""
    generator = np.random.default_rng(0)
    of = INDICES[layout]
    index = pd.DataFrame(
        of["rows"], columns=["SAMPLE_KEY", "file", "CPD_NAME", "ANNOT", "STATE", "DOSE"]
    )
    if layout == "cpg0000":
        index = index.rename(columns={"CPD_NAME": "BROAD_SAMPLE"}).assign(PLATE="BR1")
    else:
        index = index.assign(BATCH="b")
    files = {"metadata/index.csv": index.drop(columns="file").to_csv().encode()}
    images = {}
    for key, file in zip(index["SAMPLE_KEY"], index["file"], strict=True):
        pixels = generator.integers(0, 256, (SIZE, SIZE, of["channels"]), dtype=np.uint8)
        images[key] = pixels.transpose(2, 0, 1)
        buffer = io.BytesIO()
        np.save(buffer, pixels)
        if file != without:
            files[f"{file}.npy"] = buffer.getvalue()
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"top/{name}", content)
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return images


def source(path, layout, **settings):
    given = {"source": "crops", "images": str(path), "layout": layout, "size": SIZE}
    return CropsSource(CropsDataset.model_validate(given | {"licence": "MIT"} | settings))


def catalogue(path, folder, layout="bbbc021", **settings):
    shards = {"bbbc021": 2, "rxrx1": 2, "cpg0000": 1}[layout]
    of = source(path, layout, **{"shards": shards} | settings)
    return of.catalogue("cells", {"images": [path]}, folder)


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize("layout", INDICES)
def test_crops_are_read_in_place(tmp_path, layout, packed):
    path = tmp_path / ("crops.zip" if packed else "crops")
    images = make(path, layout, packed=packed)
    fields, missing = catalogue(path, tmp_path, layout)
    assert missing.empty
    assert fields.field_ids == list(images)
    np.testing.assert_array_equal(read_images(fields), np.stack(list(images.values())))
    assert source(path, layout).channels == len(fields.manifest.names)
    write_fields(fields, tmp_path / "fields.parquet")
    again = read_fields(tmp_path / "fields.parquet")
    np.testing.assert_array_equal(read_images(again), np.stack(list(images.values())))


def test_what_the_index_and_the_key_say(tmp_path):
    make(tmp_path / "crops.zip", "bbbc021", packed=True)
    fields, _ = catalogue(tmp_path / "crops.zip", tmp_path)
    row = fields.keys().iloc[1]
    assert fields.manifest.names == ("actin", "tubulin", "DNA")
    expected = {
        "cell_type": "MCF7", "batch": "b", "plate": "Week4_27801", "well": "B04", "site": 1,
        "perturbation": "cytochalasin-b", "perturbation_kind": "compound", "control": "none",
        "concentration": 15.0, "moa": "Actin",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    control = fields.keys().iloc[0]
    assert (control["control"], control["perturbation_kind"]) == ("negative", "none")
    assert np.isnan(control["concentration"])
    doses, _ = catalogue(tmp_path / "crops.zip", tmp_path, separate_doses=True)
    assert doses.keys()["perturbation"].tolist() == [
        "dmso", "cytochalasin-b-15", "cytochalasin-b-5",
    ]  # fmt: skip
    make(tmp_path / "rxrx1.zip", "rxrx1", packed=True)
    fields, _ = catalogue(tmp_path / "rxrx1.zip", tmp_path, "rxrx1")
    assert fields.keys()["cell_type"].tolist() == ["U2OS", "U2OS"]
    assert fields.keys()["plate"].tolist() == ["1", "2"]
    assert fields.manifest.names[-1] == "DNA"


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"plates": ["Week4_27821"], "shards": 1}, ["Week4_27821_B04_s2_7"]),
        ({"perturbations": ["dmso"], "shards": 1}, ["Week4_27801_B02_s1_10"]),
        ({"batches": ["b"]}, [row[0] for row in INDICES["bbbc021"]["rows"]]),
    ],
)
def test_selections(tmp_path, settings, left):
    make(tmp_path / "crops.zip", "bbbc021", packed=True)
    assert catalogue(tmp_path / "crops.zip", tmp_path, **settings)[0].field_ids == left


def test_a_crop_without_an_array_stops_or_is_listed(tmp_path):
    path = tmp_path / "crops.zip"
    make(path, "bbbc021", packed=True, without="Week4/27801/B04_s1_7")
    with pytest.raises(
        DataError, match=r"Week4_27801_B04_s1_7 .* Week4/27801/B04_s1_7\.npy is not"
    ):
        catalogue(path, tmp_path)
    fields, missing = catalogue(path, tmp_path, quality={"unreadable": "quarantine"})
    assert len(fields) == 2
    assert missing["field_id"].tolist() == ["Week4_27801_B04_s1_7"]


@pytest.mark.parametrize(
    ("layout", "settings", "message"),
    [
        ("bbbc021", {"index": "other.csv"}, "name the table of crops"),
        ("bbbc021", {"plates": ["none"]}, "No crop .* is left"),
        ("bbbc021", {"shards": 5}, "shards: 2"),
        ("rxrx1", {}, "not one of the dataset's `layout`"),
        ("cpg0000", {}, "lacks the columns BROAD_SAMPLE"),
    ],
)
def test_what_does_not_fit_is_a_sentence(tmp_path, layout, settings, message):
    make(tmp_path / "crops.zip", "bbbc021", packed=True)
    with pytest.raises(DataError, match=message):
        catalogue(tmp_path / "crops.zip", tmp_path, layout, **settings)


def test_arrays_of_another_shape_or_a_damaged_one_are_named(tmp_path):
    make(tmp_path / "crops", "bbbc021", packed=False)
    fields, _ = catalogue(tmp_path / "crops", tmp_path, size=9)
    with pytest.raises(DataError, match=r"uint8 \[8, 8, 3\], but the field table says \[9, 9, 3\]"):
        read_images(fields)
    fields, _ = catalogue(tmp_path / "crops", tmp_path)
    file = tmp_path / "crops/Week4/27801/B02_s1_10.npy"
    for damaged in (file.read_bytes()[:-1], b"\x93NUMPY\x01\x00" + b"\xff" * 300):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            read_images(fields)


def test_two_exchanged_arrays_are_noticed(tmp_path):
    path = tmp_path / "crops.zip"
    make(path, "bbbc021", packed=True)
    fields, _ = catalogue(path, tmp_path)
    rows = fields.rows()
    rows[0]["channels"], rows[1]["channels"] = rows[1]["channels"], rows[0]["channels"]
    exchanged = type(fields)(
        fields.table.from_pylist(rows, fields.table.schema), fields.manifest, fields.folder,
        fields.checksums,
    )  # fmt: skip
    with pytest.raises(DataError, match="lies where the archive has top/Week4/27801/B04_s1_7"):
        read_images(exchanged)


def test_settings(tmp_path):
    with pytest.raises(ValidationError, match="licence"):
        CropsDataset.model_validate({"source": "crops", "images": "a.zip", "layout": "bbbc021"})
    assert not list(source(tmp_path / "none.zip", "bbbc021").downloads("d", "cache"))
    (download,) = source("https://example.org/a.zip", "bbbc021").downloads("d", "cache")
    assert download.path == "cache/crops.zip"


def test_real_cells(mirror):
    path = mirror / "cells" / "bbbc021_all.zip"
    fields, missing = catalogue(path, path.parent, size=68, shards=4)
    assert missing.empty
    keys = fields.keys()
    assert len(keys) == 3134
    counts = keys.groupby(["plate", "perturbation"])["field_id"].count()
    assert counts["Week4_27821", "dmso"] == 600
    assert counts["Week4_27801", "cyclohexamide"] == 878
    assert sorted(keys["concentration"].dropna().unique()) == [5.0, 15.0, 50.0]
    assert read_images(fields.take([0, 3000])).shape == (2, 3, 68, 68)
