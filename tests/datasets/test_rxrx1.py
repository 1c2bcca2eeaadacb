import zipfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources import rxrx1
from morphpipe.datasets.sources.rxrx1 import build_fields, read_metadata
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import write_fields
from morphpipe.tables.png import encode_png

HEADER = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n"
SITES = [
    # cell type, experiment, plate, well, site, sirna_id
    ("HUVEC", "HUVEC-01", 1, "B02", 1, 1138),
    ("HUVEC", "HUVEC-01", 1, "B02", 2, 1138),
    ("U2OS", "U2OS-01", 4, "C03", 1, 17),
    ("U2OS", "U2OS-01", 4, "D03", 1, 1108),
]


def _site_id(site):
    _, experiment, plate, well, number, _ = site
    return f"{experiment}_{plate}_{well}_{number}"


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """Archives in the official layout, of small random planes; and their images."""
    monkeypatch.setattr(rxrx1, "SIZE", 8)
    images = np.random.default_rng(0).integers(0, 256, (len(SITES), 6, 8, 8), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i, (_, experiment, plate, well, number, _) in enumerate(SITES):
            stem = f"rxrx1/images/{experiment}/Plate{plate}/{well}_s{number}"
            for channel in range(6):
                archive.writestr(f"{stem}_w{channel + 1}.png", encode_png(images[i, channel]))
    lines = [
        f"{_site_id(s)},w,{s[0]},train,{s[1]},{s[2]},{s[3]},{s[4]},t,name,{s[5]}\n" for s in SITES
    ]
    with zipfile.ZipFile(tmp_path / "metadata.zip", "w") as archive:
        archive.writestr("rxrx1/metadata.csv", HEADER + "".join(lines))
    return tmp_path, images


def _metadata(folder, text):
    (folder / "metadata.csv").write_text(text)
    return folder / "metadata.csv"


def test_sites_are_read_in_place(screen):
    folder, images = screen
    (folder / "results").mkdir()
    fields, quarantine = build_fields(
        folder / "images.zip", folder / "metadata.zip", folder / "results", dataset="screen"
    )
    write_fields(fields, folder / "results" / "fields.parquet")
    fields = read_fields(folder / "results" / "fields.parquet")
    np.testing.assert_array_equal(read_images(fields), images)
    assert quarantine.empty
    assert fields.manifest.names == ("DNA", "ER", "actin", "RNA", "mito", "Golgi")
    keys = fields.keys()
    assert keys["field_id"].tolist() == [_site_id(site) for site in SITES]
    assert keys["plate"].tolist() == ["1", "1", "4", "4"]
    assert keys["batch"].tolist() == [site[1] for site in SITES]
    assert keys["perturbation"].tolist() == ["1138", "1138", "17", "1108"]
    assert keys["perturbation_kind"].tolist() == ["none", "none", "sirna", "sirna"]
    assert keys["control"].tolist() == ["negative", "negative", "none", "positive"]


def test_selection(screen):
    folder, _ = screen
    fields, _ = build_fields(
        folder / "images.zip",
        folder / "metadata.zip",
        folder,
        cell_types=["U2OS"],
        perturbations=["17"],
    )
    assert fields.field_ids == [_site_id(SITES[2])]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"cell_types": ["HeLa"]}, "no cell_type 'HeLa'; it has HUVEC, U2OS"),
        ({"cell_types": ["U2OS"], "perturbations": ["1138"]}, "no sirna_id '1138'; it has 1108"),
        ({"perturbations": ["5"]}, "no sirna_id '5'"),
    ],
)
def test_unknown_selection_lists_the_known(screen, choice, message):
    folder, _ = screen
    with pytest.raises(DataError, match=message):
        build_fields(folder / "images.zip", folder / "metadata.zip", folder, **choice)


@pytest.mark.parametrize("rows", [(0, 1), (0, 0)])
def test_a_table_that_exchanges_planes_of_the_archive_is_noticed(screen, rows):
    folder, _ = screen
    fields, _ = build_fields(folder / "images.zip", folder / "metadata.zip", folder)
    content = fields.table.to_pylist()
    left, right = (content[row]["channels"] for row in rows)
    left[0], right[1] = right[1], left[0]
    table = pa.Table.from_pylist(content, schema=fields.table.schema)
    with pytest.raises(DataError, match=r"channel DNA .* lies where the archive has .*_w2\.png"):
        read_images(replace(fields, table=table))


def test_site_without_image_stops_or_goes_into_quarantine(screen):
    folder, _ = screen
    rows = "".join(
        f"{experiment}_1_B02_1,w,HUVEC,train,{experiment},1,B02,1,t,n,1138\n"
        for experiment in ("HUVEC-01", "HUVEC-02")
    )
    metadata = _metadata(folder, HEADER + rows)
    with pytest.raises(DataError, match=r"HUVEC-02_1_B02_1 .*B02_s1_w1\.png is not in images\.zip"):
        build_fields(folder / "images.zip", metadata, folder)
    fields, left_out = build_fields(folder / "images.zip", metadata, folder, quarantine=True)
    assert fields.field_ids == ["HUVEC-01_1_B02_1"]
    assert left_out["field_id"].tolist() == ["HUVEC-02_1_B02_1"]
    assert "HUVEC-02/Plate1/B02_s1_w1.png" in left_out["reason"].iloc[0]


def test_nothing_left_is_an_error_even_with_quarantine(screen):
    folder, _ = screen
    metadata = _metadata(folder, HEADER + "x,w,HUVEC,train,HUVEC-09,1,B02,1,t,n,1138\n")
    with pytest.raises(DataError, match="None of the 1 selected sites"):
        build_fields(folder / "images.zip", metadata, folder, quarantine=True)


def test_repeated_site_is_refused_when_written(screen):
    folder, _ = screen
    row = "HUVEC-01_1_B02_1,w,HUVEC,train,HUVEC-01,1,B02,1,t,n,1138\n"
    fields, _ = build_fields(folder / "images.zip", _metadata(folder, HEADER + row + row), folder)
    with pytest.raises(DataError, match="more than once"):
        write_fields(fields, folder / "fields.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("site_id,cell_type\na,b\n", "lacks the columns experiment, plate"),
        (HEADER + "a,w,HUVEC,train,H,1,B02,1,t,n,\n", "cannot be read"),
        (HEADER + "a,w,HUVEC,train,H,one,B02,1,t,n,1\n", "cannot be read"),
        ("\x00\xff", "metadata"),
        ("", "cannot be read"),
    ],
)
def test_bad_metadata(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_metadata(_metadata(tmp_path, text))


def test_missing_metadata_and_wrong_zip(tmp_path):
    with pytest.raises(DataError, match=r"The metadata .* do not exist"):
        read_metadata(tmp_path / "none.csv")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("other.csv", "x")
    with pytest.raises(DataError, match=r"0 files metadata\.csv"):
        read_metadata(tmp_path / "m.zip")


def test_archive_that_is_cut_short(screen):
    folder, _ = screen
    path = folder / "images.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"images\.zip cannot be read as a zip archive"):
        build_fields(path, folder / "metadata.zip", folder)


def test_real_fields(mirror, tmp_path):
    source = mirror / "rxrx" / "rxrx1"
    images, metadata = source / "rxrx1-images.zip", source / "rxrx1-metadata.zip"
    fields, quarantine = build_fields(images, metadata, tmp_path)
    assert len(fields) == 5
    assert quarantine.empty
    keys = fields.keys()
    assert set(keys["cell_type"]) == {"HEPG2"}
    assert set(keys["perturbation"]) == {"1138", "513", "95", "39", "841"}
    assert keys.loc[keys["perturbation"] == "1138", "control"].tolist() == ["negative"]
    read = read_images(fields)
    assert read.shape == (5, 6, 512, 512)
    # Independent of our reader: the planes by their official names.
    row = keys.iloc[2]
    stem = f"rxrx1/images/{row['batch']}/Plate{row['plate']}/{row['well']}_s{row['site']}"
    from PIL import Image

    with zipfile.ZipFile(images) as archive:
        for channel in range(6):
            with archive.open(f"{stem}_w{channel + 1}.png") as stream:
                np.testing.assert_array_equal(np.asarray(Image.open(stream)), read[2, channel])
