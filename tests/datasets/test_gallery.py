import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch.many_files import fetch_plate
from morphpipe.datasets.preparation.planes import PlaneReader
from morphpipe.datasets.sources.gallery import (
    GalleryBatch,
    gallery_sheet,
    read_load_data,
    select_perturbations,
)
from morphpipe.datasets.sources.rohban import ROHBAN_GENES_5, ROHBAN_GENES_12, rohban_annotation
from morphpipe.tables.manifest import Channel

METADATA = Path(__file__).resolve().parents[3] / "shared" / "metadata"
ROHBAN = GalleryBatch("cpg0017-rohban-pathways", "broad", "2013_10_11_SIGMA2_Pilot")
IMAGES = "cpg0017-rohban-pathways/broad/images"
# Where CellProfiler ran, the project had another name and other folders above the batch.
ELSEWHERE = "/home/ubuntu/bucket/projects/2011_07_13_TargetAccelerator/2013_10_11_SIGMA2_Pilot"
CHANNELS = (Channel("DNA", "Hoechst"), Channel("RNA", "SYTO 14"))


def _table(illumination=True, folder=ELSEWHERE):
    rows = []
    for well, site in (("a01", 1), ("a01", 2), ("b02", 1)):
        row = {"Metadata_Plate": "41744", "Metadata_Well": well, "Metadata_Site": str(site)}
        for channel in ("RNA", "DNA"):
            row[f"FileName_Orig{channel}"] = f"{well}_s{site}_{channel}.tif"
            row[f"PathName_Orig{channel}"] = f"{folder}/images/41744"
            if illumination:
                row[f"FileName_Illum{channel}"] = f"41744_Illum{channel}.npy"
                row[f"PathName_Illum{channel}"] = f"{folder}/illum/41744/"
        rows.append(row)
    return pd.DataFrame(rows)


def _read(table, folder, batch=ROHBAN, **options):
    table.to_csv(folder / "load_data.csv", index=False)
    return read_load_data(folder / "load_data.csv", batch, **options)


def _annotation():
    return pd.DataFrame(
        {
            "well": ["A01", "B02", "C03"],
            "perturbation": ["EMPTY", "RAC1", "KRAS"],
            "control": ["negative", "none", "none"],
            "gene": [None, "RAC1", "KRAS"],
        }
    )


def test_paths_of_another_machine_become_keys(tmp_path):
    data = _read(_table(), tmp_path)
    assert data.channels == ("RNA", "DNA")
    row = data.frame.iloc[2]
    assert (row["plate"], row["well"], row["site"]) == ("41744", "B02", 1)
    batch = f"{IMAGES}/2013_10_11_SIGMA2_Pilot"
    assert row["DNA"] == f"{batch}/images/41744/b02_s1_DNA.tif"
    assert row["illumination:DNA"] == f"{batch}/illum/41744/41744_IllumDNA.npy"
    assert data.keys(["DNA"]) == [
        f"{batch}/images/41744/a01_s1_DNA.tif",
        f"{batch}/images/41744/a01_s2_DNA.tif",
        f"{batch}/images/41744/b02_s1_DNA.tif",
        f"{batch}/illum/41744/41744_IllumDNA.npy",
    ]
    assert data.of_wells(["B02"]).frame["well"].tolist() == ["B02"]


@pytest.mark.parametrize(
    ("location", "prefix", "key"),
    [
        # As in cpg0016, cpg0000, and on a Windows machine.
        (
            "s3://cellpainting-gallery/p/src/images/b/images/q/x.tiff",
            None,
            "p/src/images/b/images/q/x.tiff",
        ),
        ("/home/ubuntu/bucket/projects/old/b/illum/q/x.npy", None, "p/src/images/b/illum/q/x.npy"),
        ("/data/plates/q/x.tiff", None, None),
        ("/data/plates/q/x.tiff", "/data/plates", "p/src/images/q/x.tiff"),
        ("/data/p/src/images/b/q/x.tiff", "/data/", "p/src/images/b/q/x.tiff"),
        ("/data/plates/q/x.tiff", "/other", None),
    ],
)
def test_image_keys(location, prefix, key):
    assert GalleryBatch("p", "src", "b").image_key(location, prefix) == key


def test_addresses_instead_of_paths_and_no_illumination(tmp_path):
    table = _table(illumination=False)
    for channel in ("RNA", "DNA"):
        table[f"URL_Orig{channel}"] = (
            f"s3://cellpainting-gallery/{IMAGES}/x/images/" + table[f"FileName_Orig{channel}"]
        )
        table = table.drop(columns=[f"PathName_Orig{channel}", f"FileName_Orig{channel}"])
    data = _read(table, tmp_path)
    assert data.frame["DNA"].iloc[0] == f"{IMAGES}/x/images/a01_s1_DNA.tif"
    assert not any(column.startswith("illumination:") for column in data.frame)


def _set(column, row, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="Metadata_Well"), "lacks Metadata_Well"),
        (lambda t: t[["Metadata_Plate", "Metadata_Well", "Metadata_Site"]], "FileName_Orig<"),
        (lambda t: t.iloc[:0], "lacks rows"),
        (_set("Metadata_Well", 1, "z99"), r"row 2 \(41744, z99, 2\): Metadata_Well is not a well"),
        (_set("Metadata_Site", 0, "one"), "row 1 .* Metadata_Site is not a number"),
        (_set("Metadata_Site", 1, "1"), "row 2 .* are repeated"),
        (_set("FileName_OrigDNA", 2, ""), "row 3 .* PathName_OrigDNA or FileName_OrigDNA is empty"),
        (_set("FileName_OrigDNA", 2, "b02_s1_RNA.tif"), "b02_s1_RNA.tif for two channels"),
        (_set("PathName_OrigDNA", 2, "/elsewhere"), r"/elsewhere/b02_s1_DNA.tif.* `path_prefix`"),
        (lambda t: t.drop(columns="PathName_OrigDNA"), "neither PathName_OrigDNA nor URL_OrigDNA"),
    ],
)
def test_faulty_tables_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        _read(change(_table()), tmp_path)


def test_channels_that_are_not_wanted_may_be_faulty(tmp_path):
    table = _table().assign(FileName_OrigRNA=_table()["FileName_OrigDNA"])
    table["FileName_OrigBrightfield"] = ["a.tif", "", "c.tif"]
    table["PathName_OrigBrightfield"] = table["PathName_OrigDNA"]
    data = _read(table, tmp_path, channels=["DNA"])
    assert data.channels == ("RNA", "DNA", "Brightfield")
    assert "RNA" not in data.frame
    assert data.keys(["DNA"])
    with pytest.raises(DataError, match="for two channels or fields"):
        _read(table, tmp_path, channels=["DNA", "RNA"])
    with pytest.raises(DataError, match="FileName_OrigBrightfield is empty"):
        _read(table, tmp_path, channels=["DNA", "Brightfield"])


def test_parquet_under_any_name(tmp_path):
    table = _table().astype({"Metadata_Site": int, "Metadata_Plate": int})
    table.to_parquet(tmp_path / "load_data.csv")
    data = read_load_data(tmp_path / "load_data.csv", ROHBAN)
    pd.testing.assert_frame_equal(data.frame, _read(_table(), tmp_path).frame)


def test_missing_table_and_wrong_prefix(tmp_path):
    with pytest.raises(DataError, match=r"table of planes .* does not exist"):
        read_load_data(tmp_path / "none.csv", ROHBAN)
    with pytest.raises(DataError, match=r"does not start with the dataset's `path_prefix` /x"):
        _read(_table(), tmp_path, path_prefix="/x")
    with pytest.raises(DataError, match="no channel 'ER'; it has RNA, DNA"):
        _read(_table(), tmp_path).keys(["ER"])
    with pytest.raises(DataError, match="no field in the 1 selected wells"):
        _read(_table(), tmp_path).of_wells(["P24"])


@pytest.fixture
def bucket(file_server, tmp_path):
    """A plate on a server, as the gallery has it: its table, and its planes by key."""
    data = _read(_table(), tmp_path)
    random = np.random.default_rng(0)
    planes = {}
    for key in data.keys(["DNA", "RNA"]):
        buffer = io.BytesIO()
        if key.endswith(".npy"):
            planes[key] = random.random((4, 5))
            np.save(buffer, planes[key])
        else:
            planes[key] = random.integers(0, 65536, (4, 5), dtype=np.uint16)
            tifffile.imwrite(buffer, planes[key])
        file_server.files[key] = buffer.getvalue()
    return file_server, data, planes


def test_plate_from_server_to_pixels(bucket, tmp_path):
    server, data, planes = bucket
    path = tmp_path / "plates" / "41744.zip"
    assert fetch_plate(server.url, data.keys(["DNA", "RNA"]), path) == 8
    sheet = gallery_sheet(
        data,
        path,
        _annotation(),
        channels=CHANNELS,
        batch=ROHBAN.batch,
        cell_type="U2OS",
        source="cpg0017",
    )
    assert sheet.frame["perturbation"].tolist() == ["EMPTY", "EMPTY", "RAC1"]
    assert sheet.frame["perturbation_kind"].tolist() == ["none", "none", "orf"]
    assert sheet.frame["control"].tolist() == ["negative", "negative", "none"]
    assert sheet.frame["gene"].tolist()[2] == "RAC1"
    assert sheet.frame["field_id"].is_unique
    assert sheet.plates == ("41744",)
    with PlaneReader(sheet.folder) as reader, zipfile.ZipFile(path) as archive:
        for row, fields in enumerate(sheet.frame.itertuples()):
            for channel in ("DNA", "RNA"):
                key = data.frame.loc[row, channel]
                np.testing.assert_array_equal(
                    reader.read(getattr(fields, channel), "plane"), planes[key]
                )
                name = sheet.frame.loc[row, f"illumination:{channel}"].partition("!")[2]
                correction = np.load(io.BytesIO(archive.read(name)))
                np.testing.assert_array_equal(
                    correction, planes[data.frame.loc[row, f"illumination:{channel}"]]
                )


def test_plate_from_a_folder(tmp_path):
    key = "p/src/images/with blank+ü.tif"
    (tmp_path / "mirror" / key).parent.mkdir(parents=True)
    (tmp_path / "mirror" / key).write_bytes(b"II*\0plane")
    url = (tmp_path / "mirror").as_uri()
    assert fetch_plate(url, [key, key], tmp_path / "a.zip") == 1
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read(key) == b"II*\0plane"
    with pytest.raises(DataError, match=r"/p/none\.tif, which does not exist"):
        fetch_plate(url, [key, "p/none.tif"], tmp_path / "b.zip")


def test_plate_is_continued_and_its_order_is_that_of_the_keys(bucket, tmp_path):
    server, data, _ = bucket
    keys = data.keys(["DNA", "RNA"])
    fetch_plate(server.url, keys, tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == keys
        starts = [entry.header_offset for entry in archive.infolist()]
    (tmp_path / "a.zip.part").write_bytes(whole[: starts[5] + 11])
    server.asked.clear()
    fetch_plate(server.url, keys, tmp_path / "a.zip")
    assert sorted(path for path, _ in server.asked) == sorted(keys[5:])
    assert (tmp_path / "a.zip").read_bytes() == whole


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (_annotation().iloc[:1], r"1 wells of .* are not annotated, the first one 41744 B02"),
        (pd.concat([_annotation()] * 2), "has A01 more than once"),
        (_annotation().assign(well="here"), "has 'here', which is not a well"),
        (_annotation().assign(plate="41755"), r"2 wells .* not annotated, the first one 41744 A01"),
        (_annotation().assign(control="maybe"), "maybe"),
    ],
)
def test_faulty_annotations_are_named(tmp_path, annotation, message):
    with pytest.raises(DataError, match=message):
        gallery_sheet(
            _read(_table(), tmp_path),
            tmp_path / "41744.zip",
            annotation,
            channels=CHANNELS,
            batch=ROHBAN.batch,
            cell_type="U2OS",
            source="cpg0017",
        )


def test_chosen_perturbations_keep_the_negative_controls():
    chosen = select_perturbations(_annotation(), ["KRAS"])
    assert chosen["well"].tolist() == ["A01", "C03"]
    with pytest.raises(DataError, match="no perturbation 'kras'"):
        select_perturbations(_annotation(), ["kras"])


@pytest.fixture
def rohban():
    if not METADATA.is_dir():
        pytest.skip(f"the published tables are not at {METADATA}")
    return rohban_annotation(METADATA / "rohban_augmented_metadata.csv")


def test_rohbans_wells(rohban):
    assert len(rohban) == rohban["well"].nunique() == 384
    wells = rohban.set_index("well")
    # Read by eye from the published table: a wild type and a mutant of RAC1, and an empty well.
    assert wells.loc["D13", ["perturbation", "mutant"]].tolist() == ["RAC1", False]
    assert wells.loc["B18", ["perturbation", "mutant"]].tolist() == ["RAC1", True]
    assert wells.loc["A01", ["perturbation", "control", "perturbation_kind"]].tolist() == [
        "EMPTY",
        "negative",
        "none",
    ]
    assert (rohban["control"] == "negative").sum() == 59
    counts = rohban["perturbation"].value_counts()
    assert counts[list(ROHBAN_GENES_5)].tolist() == [4, 3, 3, 3, 2]
    assert counts[list(ROHBAN_GENES_12)].sum() == 35


def test_genes_agree_with_the_other_published_table(rohban):
    # Independent: the treatments' names of the plate map, such as RAC1_WT or RAC1_p.G12V.
    treatments = pd.read_csv(METADATA / "rohban_metadata_TA_2.csv").set_index(
        "Metadata_broad_sample"
    )["Metadata_Treatment"]
    known = rohban[rohban["construct"].notna()].set_index("well")
    named = known["construct"].map(treatments).str.split("_", n=1, expand=True)
    # The tables differ in three of 325 wells, two of which the other one calls a mismatch.
    assert len(known) == 325
    assert {
        well: (gene, other)
        for well, gene, other in zip(known.index, known["gene"], named[0], strict=True)
        if gene != other
    } == {"M18": ("ACVR2B", "ACVR1B"), "D14": ("MAP2K1", "MEK1"), "K09": ("BIRC5", "BMPR1B")}
    assert (named[1].str.startswith("WT") == ~known["mutant"].astype(bool)).all()


def test_faulty_rohban_tables_are_named(tmp_path):
    header = "PUBLICID,Well,TARGETTRANS,ISMUTANT,TARGETGENE\n"
    for rows, message in (
        ("0,a01,,,\n0,a01,,,\n", "the well a01 stands there more than once"),
        ("0,zz,,,\n", "the well zz is not a well"),
        ("X1,a01,,,\n", "A01 has a construct without a gene"),
    ):
        (tmp_path / "a.csv").write_text(header + rows)
        with pytest.raises(DataError, match=message):
            rohban_annotation(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="lacks the columns PUBLICID"):
        rohban_annotation(tmp_path / "a.csv")
