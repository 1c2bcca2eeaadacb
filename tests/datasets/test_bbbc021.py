import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.planes import PlaneReader
from morphpipe.datasets.sources import bbbc021
from morphpipe.datasets.sources.bbbc021 import (
    COMPOUNDS_14,
    COMPOUNDS_98,
    PLATES,
    archive_name,
    bbbc021_sheet,
    normalise_compound,
)

METADATA = Path(__file__).resolve().parents[3] / "shared" / "metadata"
OFFICIAL = METADATA / "bbbc021_image_official.csv.gz"
GUID = "1B6C24C3-E50D-4513-9B0A-1D33894E09CA"
PLATE, OTHER = "Week1_22123", "Week2_24121"


@pytest.fixture(scope="module")
def official():
    if not OFFICIAL.is_file():
        pytest.skip(f"BBBC021's image table is not at {OFFICIAL}")
    return pd.read_csv(OFFICIAL)


def _row(plate, well, site, compound, dose):
    row = {}
    for name, wave in (("DAPI", 1), ("Tubulin", 2), ("Actin", 4)):
        row[f"Image_FileName_{name}"] = f"Week_1_{well}_s{site}_w{wave}{GUID}.tif"
        row[f"Image_PathName_{name}"] = f"{plate.split('_')[0]}/{plate}"
    return row | {
        "Image_Metadata_Plate_DAPI": plate, "Image_Metadata_Well_DAPI": well,
        "Image_Metadata_Compound": compound, "Image_Metadata_Concentration": dose,
    }  # fmt: skip


@pytest.fixture
def screen(tmp_path):
    """Two plates in the official layout: tables, and archives of one-byte members."""
    rows = [
        _row(PLATE, "B02", 1, "DMSO", 0.0),
        _row(PLATE, "C02", 1, "taxol", 0.3),
        _row(PLATE, "C02", 2, "taxol", 0.3),
        _row(PLATE, "D02", 1, "taxol", 0.001),
        _row(OTHER, "C02", 1, "Cdk1/2 inhibitor (NU6102)", 10.0),
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "image.csv", index=False)
    (tmp_path / "moa.csv").write_text("compound,concentration,moa\nDMSO,0,DMSO\ntaxol,0.3,Stab\n")
    (tmp_path / "compound.csv").write_text("compound,smiles\ntaxol,CCO\nDMSO,CS(C)=O\nAZ-A,\n")
    archives = {}
    for plate in (PLATE, OTHER):
        archives[plate] = tmp_path / "down" / archive_name(plate)
        archives[plate].parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(archives[plate], "w") as archive:
            for row in rows:
                if row["Image_Metadata_Plate_DAPI"] == plate:
                    for name in ("DAPI", "Tubulin", "Actin"):
                        archive.writestr(f"{plate}/{row[f'Image_FileName_{name}']}", "x")
    return tmp_path, archives


def _sheet(screen, moa="moa.csv", compound="compound.csv", **settings):
    folder, archives = screen
    return bbbc021_sheet(
        folder / "image.csv",
        moa and folder / moa,
        compound and folder / compound,
        archives,
        folder,
        **settings,
    )


def test_sheet(screen):
    sheet, left_out = _sheet(screen)
    assert left_out.empty
    assert [channel.name for channel in sheet.channels] == ["DNA", "tubulin", "actin"]
    assert sheet.plates == (PLATE, OTHER)
    frame = sheet.frame
    assert frame["field_id"].iloc[2] == f"{PLATE}_C02_s2"
    assert frame["site"].tolist() == [1, 1, 2, 1, 1]
    assert frame["batch"].tolist() == ["Week1"] * 4 + ["Week2"]
    taxol = ["dmso", "taxol", "taxol", "taxol"]
    assert frame["perturbation"].tolist() == [*taxol, "cdk1-2-inhibitor-nu6102-"]
    assert frame["control"].tolist() == ["negative"] + ["none"] * 4
    assert frame["perturbation_kind"].tolist() == ["none"] + ["compound"] * 4
    np.testing.assert_array_equal(frame["concentration"], [np.nan, 0.3, 0.3, 0.001, 10])
    # The dose of 0.001 has no mechanism in the table, so none is given; nor has the control.
    assert frame["moa"].fillna("-").tolist() == ["-", "Stab", "Stab", "-", "-"]
    assert frame["smiles"].fillna("-").tolist() == ["CS(C)=O", "CCO", "CCO", "CCO", "-"]
    assert set(frame["cell_type"]) == {"MCF7"}
    where = f"down/{archive_name(PLATE)}!{PLATE}/Week_1_B02_s1"
    assert frame.loc[0, ["DNA", "tubulin", "actin"]].tolist() == [
        f"{where}_w1{GUID}.tif",
        f"{where}_w2{GUID}.tif",
        f"{where}_w4{GUID}.tif",
    ]


def test_selection_and_missing_tables(screen):
    sheet, _ = _sheet(screen, moa=None, compound=None, plates=[PLATE], compounds=["DMSO", "taxol"])
    assert sheet.plates == (PLATE,)
    assert sheet.frame[["smiles", "moa"]].isna().all(axis=None)
    sheet, _ = _sheet(screen, compounds=["cdk1-2-inhibitor-nu6102-"])
    assert len(sheet) == 1
    for settings, message in (
        ({"plates": ["Week9_39206"]}, "no archive of the plate Week9_39206"),
        ({"compounds": ["taxol", "taxlo"]}, "no compound taxlo among .* it has cdk1-2"),
        ({"plates": [OTHER], "compounds": ["taxol"]}, "no compound taxol"),
    ):
        with pytest.raises(DataError, match=message):
            _sheet(screen, **settings)


def test_fields_without_images_are_reported(screen):
    _, archives = screen
    with zipfile.ZipFile(archives[PLATE]) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(archives[PLATE], "w") as archive:
        for name in names:
            if "C02_s2_w4" not in name:
                archive.writestr(name, "x")
    damaged = bytearray(archives[PLATE].read_bytes())
    damaged[damaged.find(b"PK\x03\x04")] = 0  # the local header of the first member, B02 s1 w1
    archives[PLATE].write_bytes(damaged)
    sheet, left_out = _sheet(screen)
    assert left_out["field_id"].tolist() == [f"{PLATE}_B02_s1", f"{PLATE}_C02_s2"]
    assert "B02_s1_w1" in left_out["reason"].iloc[0]
    assert "is damaged in BBBC021_v1_images_Week1_22123.zip" in left_out["reason"].iloc[0]
    assert f"C02_s2_w4{GUID}.tif is not in BBBC021" in left_out["reason"].iloc[1]
    assert sheet.frame["well"].tolist() == ["C02", "D02", "C02"]
    _, of_other = _sheet(screen, plates=[OTHER])
    assert of_other.empty

    archives[PLATE].write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot be read as a zip"):
        _sheet(screen)
    with zipfile.ZipFile(archives[PLATE], "w"):
        pass
    with pytest.raises(DataError, match="None of the 4 chosen fields"):
        _sheet(screen, plates=[PLATE])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Image_FileName_DAPI", f"Week_1_B02_s1_w2{GUID}.tif"),
        ("Image_FileName_Tubulin", f"Week_1_B02_s2_w2{GUID}.tif"),
        ("Image_FileName_Actin", f"Week_1_B03_s1_w4{GUID}.tif"),
        ("Image_PathName_Actin", "Week1/Week1_22141"),
        ("Image_Metadata_Compound", None),
        ("Image_Metadata_Concentration", None),
    ],
)
def test_contradictions_in_the_table_stop(screen, column, value):
    folder, _ = screen
    table = pd.read_csv(folder / "image.csv")
    table.loc[1, column] = value
    table.to_csv(folder / "image.csv", index=False)
    with pytest.raises(DataError, match=r"1 rows have empty cells, or file names.* row 2"):
        _sheet(screen)


def test_tables_that_are_not_bbbc021s(screen):
    folder, _ = screen
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        _sheet(screen, moa="none.csv")
    with pytest.raises(DataError, match="lacks the columns concentration, moa"):
        _sheet(screen, moa="compound.csv")
    (folder / "moa.csv").write_text("compound,concentration,moa\ntaxol,0.3,a\ntaxol,0.3,b\n")
    with pytest.raises(DataError, match=r"taxol at 0.3 micromolar more than one"):
        _sheet(screen)
    (folder / "compound.csv").write_text("compound,smiles\ntaxol,C\nTaxol,CC\n")
    with pytest.raises(DataError, match="taxol more than one structure"):
        _sheet(screen, moa=None)


def test_archive_names():
    assert archive_name("Week1_22123") == "BBBC021_v1_images_Week1_22123.zip"
    with pytest.raises(DataError, match="no plate 'Week1_1'"):
        archive_name("Week1_1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AZ138", "az138"),
        ("cytochalasin B", "cytochalasin-b"),
        ("mevinolin/lovastatin", "mevinolin-lovastatin"),
        ("calpain inhibitor 2 (ALLM)", "calpain-inhibitor-2-allm-"),
        ("3,3'-diaminobenzidine", "33-diaminobenzidine"),
        ("ICI-182,780", "ici-182780"),
    ],
)
def test_names(name, expected):
    assert normalise_compound(name) == expected
    assert normalise_compound(expected) == expected


def test_lists_are_morphodiffs(official):
    released = pd.read_csv(METADATA / "BBBC021_all_pert_ood_info.csv")
    assert sorted(released["perturbation"]) == sorted(COMPOUNDS_98)
    assert len(set(COMPOUNDS_98)) == 98
    names = {normalise_compound(name) for name in official["Image_Metadata_Compound"].unique()}
    assert len(names) == 113
    others = {f"az-{letter}" for letter in "abchijklmnou"} | {"dmso", "tkk", "unknown"}
    assert names - set(COMPOUNDS_98) == others
    assert set(COMPOUNDS_98) <= names
    few = pd.read_csv(METADATA / "BBBC021_14_compounds_pert_ood_info.csv")
    assert set(few.loc[~few["ood"], "perturbation"]) == set(COMPOUNDS_14)


def test_mechanisms_of_the_14_compounds(mirror):
    table = pd.read_csv(mirror / "bbbc" / "BBBC021" / "BBBC021_v1_moa.csv")
    known = dict(zip(table["compound"].map(normalise_compound), table["moa"], strict=True))
    assert {name: known[name] for name in COMPOUNDS_14} == COMPOUNDS_14


def test_official_table(official, monkeypatch):
    assert set(official["Image_Metadata_Plate_DAPI"]) == set(PLATES)
    assert len(PLATES) == 55
    monkeypatch.setattr(bbbc021, "_absent_members", lambda path, names: {})
    archives = {plate: Path("/data") / archive_name(plate) for plate in PLATES}
    sheet, left_out = bbbc021_sheet(OFFICIAL, None, None, archives, "/data")
    assert left_out.empty
    frame = sheet.frame
    assert len(frame) == frame["field_id"].nunique() == 13_200
    assert len(sheet.plates) == 55
    assert (frame["control"] == "negative").sum() == 1320
    assert frame.groupby(["plate", "well"])["site"].apply(list).map(sorted).map(
        tuple
    ).unique().tolist() == [(1, 2, 3, 4)]
    row, source = frame.iloc[777], official.iloc[777]
    assert row["plate"] == source["Image_Metadata_Plate_DAPI"]
    assert row["concentration"] == source["Image_Metadata_Concentration"]
    assert row["tubulin"] == (
        f"{archive_name(row['plate'])}!{row['plate']}/{source['Image_FileName_Tubulin']}"
    )


def test_real_archives(mirror):
    folder = mirror / "bbbc" / "BBBC021"
    archives = {path.stem.removeprefix("BBBC021_v1_images_"): path for path in folder.glob("*.zip")}
    sheet, left_out = bbbc021_sheet(
        folder / "BBBC021_v1_image.csv", folder / "BBBC021_v1_moa.csv", None, archives, folder
    )
    assert len(sheet) + len(left_out) == 330
    assert len(sheet.plates) == 20
    assert sheet.frame["moa"].notna().all()
    for reason in left_out["reason"][:20]:
        # What is left out is left out rightly: zipfile itself cannot read it.
        member, rest = reason.split(" is damaged in ")
        archive_path = folder / rest.split(" (")[0]
        with zipfile.ZipFile(archive_path) as archive, pytest.raises(zipfile.BadZipFile):
            archive.read(member)
    with PlaneReader(sheet.folder) as reader:
        for row in sheet.frame.iloc[::7].itertuples():
            for channel in ("DNA", "tubulin", "actin"):
                plane = reader.read(getattr(row, channel), row.field_id)
                assert plane.dtype == np.uint16
                assert plane.shape == (256, 320)
                assert plane.max() > 0
