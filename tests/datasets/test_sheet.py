import re
import warnings

import numpy as np
import pandas as pd
import pytest
import tifffile

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.sheet import (
    KEY_COLUMNS,
    SheetChannel,
    load_sheet,
    normalise_well,
    write_sheet,
)
from morphpipe.datasets.sources.sheet_faults import plane_faults, sheet_faults
from morphpipe.datasets.sources.user_sheet import read_sheet
from morphpipe.tables.manifest import Channel

CHANNELS = (SheetChannel("DNA", "DAPI", "w1"), SheetChannel("actin", "phalloidin", "w2"))
SETTINGS = {"cell_type": "U2OS", "negative_controls": ["DMSO"]}


def _frame(wells=("A01", "A02"), perturbations=("DMSO", "taxol"), plate="p1", **columns):
    rows = {
        "plate": plate,
        "well": list(wells),
        "perturbation": list(perturbations),
        "w1": [f"{plate}/{well}_s1_w1.tif" for well in wells],
        "w2": [f"{plate}/{well}_s1_w2.tif" for well in wells],
    }
    return pd.DataFrame(rows | columns)


def _read(tmp_path, frame, name="sheet.csv", channels=CHANNELS, **settings):
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings = SETTINGS | settings
        return read_sheet(path, channels, licence="CC0", source="here", **settings)


@pytest.fixture
def plate(tmp_path):
    """A sheet whose planes are there: 16-bit, 6x8."""
    for i, well in enumerate(("A01", "A02")):
        for wave in (1, 2):
            path = tmp_path / "p1" / f"{well}_s1_w{wave}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, np.full((6, 8), 10 * i + wave, np.uint16))
    return _read(tmp_path, _frame())


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.csv.gz", "sheet.parquet"])
def test_smallest_sheet(tmp_path, name):
    sheet = _read(tmp_path, _frame(wells=("a1", "A02"), plate="0012"), name, pixel_size=(0.3, 0.4))
    assert sheet.frame.columns.tolist() == [*KEY_COLUMNS, "DNA", "actin"]
    assert sheet.channels == (Channel("DNA", "DAPI"), Channel("actin", "phalloidin"))
    assert (sheet.pixel_size, sheet.licence, sheet.source) == ((0.3, 0.4), "CC0", "here")
    assert sheet.folder == tmp_path
    frame = sheet.frame
    assert frame["field_id"].tolist() == ["0012_A01_s1", "0012_A02_s1"]
    assert frame["well"].tolist() == ["A01", "A02"]
    assert frame["site"].tolist() == [1, 1]
    assert frame["batch"].tolist() == ["1", "1"]
    assert frame["cell_type"].tolist() == ["U2OS", "U2OS"]
    assert frame["control"].tolist() == ["negative", "none"]
    assert frame["perturbation_kind"].tolist() == ["none", "compound"]
    assert frame[["concentration", "gene", "smiles", "moa"]].isna().all(axis=None)
    assert frame["actin"].tolist() == ["0012/a1_s1_w2.tif", "0012/A02_s1_w2.tif"]


def test_columns_come_before_settings(tmp_path):
    frame = _frame(
        field_id=["x", "y"], site=[3, "4"], batch="b", cell_type=["", "RPE"],
        control=["negative", "Positive"], perturbation_kind=["sirna", ""],
        concentration=["", "0.003"], gene=["NA", ""], smiles=["", "CCO"],
        **{"illumination:DNA": "i.npy"},
    )  # fmt: skip
    frame = _read(tmp_path, frame).frame
    assert frame["field_id"].tolist() == ["x", "y"]
    assert frame["site"].tolist() == [3, 4]
    assert frame["cell_type"].tolist() == ["U2OS", "RPE"]
    assert frame["control"].tolist() == ["negative", "positive"]
    assert frame["perturbation_kind"].tolist() == ["sirna", "compound"]
    np.testing.assert_array_equal(frame["concentration"], [np.nan, 0.003])
    assert frame["gene"].fillna("-").tolist() == ["NA", "-"]
    assert frame["illumination:DNA"].tolist() == ["i.npy", "i.npy"]


@pytest.mark.parametrize("plates", [("板一", "板二"), ("Platte ä", "Platte ö"), ("P 1", "P-1")])
def test_plates_that_file_names_cannot_tell_apart_keep_their_fields_apart(tmp_path, plates):
    frames = [_frame(plate=plate) for plate in plates]
    frames[1][["w1", "w2"]] = "other/" + frames[1][["w1", "w2"]]
    sheet = _read(tmp_path, pd.concat(frames))
    ids = sheet.frame["field_id"]
    assert ids.is_unique
    assert ids.str.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*").all()
    # Whatever else is on the sheet, a name that is one keeps its own.
    assert plates[1] != "P-1" or ids.iloc[-1].startswith("P-1_")


def test_plates(tmp_path):
    frames = [_frame(plate="P 1", batch="b1"), _frame(plate="P 1", batch="b2"), _frame(plate="P2")]
    frames[1][["w1", "w2"]] = "b2/" + frames[1][["w1", "w2"]]
    sheet = _read(tmp_path, pd.concat(frames).fillna({"batch": "b2"}))
    assert sheet.plates == ("b1/P 1", "b2/P 1", "P2")
    assert sheet.frame["field_id"].iloc[2] == "b2-P-1_A01_s1"
    part = sheet.of_plate("b2/P 1")
    assert part.frame["batch"].tolist() == ["b2", "b2"]
    assert part.frame.index.tolist() == [0, 1]
    with pytest.raises(DataError, match="no plate 'P 1'; it has b1/P 1, b2/P 1, P2"):
        sheet.of_plate("P 1")


@pytest.mark.parametrize(
    ("text", "well"),
    [("a1", "A01"), ("P24", "P24"), ("AF48", "AF48"), ("A001", None), ("A49", None), ("A0", None),
     ("AG1", None), ("1A", None), ("", None)],
)  # fmt: skip
def test_wells(text, well):
    assert normalise_well(text) == well


def test_sheet_survives_the_disk(tmp_path):
    sheet = _read(tmp_path, _frame(concentration=["", 3]), pixel_size=(0.3, 0.4))
    write_sheet(sheet, tmp_path / "out" / "a.parquet")
    out = tmp_path / "out"
    first = (out / "a.parquet").read_bytes()
    write_sheet(sheet, out / "a.parquet")
    assert (out / "a.parquet").read_bytes() == first
    again = load_sheet(out / "a.parquet")
    pd.testing.assert_frame_equal(again.frame, sheet.frame)
    assert again.folder.resolve() == tmp_path.resolve()
    assert (again.channels, again.pixel_size) == (sheet.channels, (0.3, 0.4))
    assert (again.licence, again.source) == ("CC0", "here")
    _frame().to_parquet(out / "c.parquet")
    with pytest.raises(DataError, match="is no sample sheet of morphpipe"):
        load_sheet(out / "c.parquet")


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"plate": ["p1", ""]}, "Column plate is empty in row 2"),
        ({"w2": ["", "b_w2.tif"]}, "Column w2 is empty in row 1"),
        ({"well": ["A01", "B99"]}, r"Column well has B99 in row 2; it takes wells like A01"),
        ({"well": "well 1"}, "Column well has well 1 in rows 1, 2"),
        ({"well": ""}, "Column well is empty in rows 1, 2"),
        ({"plate": ""}, "Column plate is empty in rows 1, 2"),
        ({"perturbation": ""}, "Column perturbation is empty in rows 1, 2"),
        ({"w1": ""}, "Column w1 is empty in rows 1, 2"),
        ({"site": ["1", "one"]}, "Column site has one in row 2; it takes non-negative integers"),
        ({"site": ["1.5", "1"]}, r"Column site has 1\.5 in row 1"),
        ({"concentration": ["", "0,3"]}, "Column concentration has 0,3 in row 2"),
        ({"concentration": ["", "-1"]}, "Column concentration has -1 in row 2"),
        ({"control": ["negative", "yes"]}, "Column control has yes in row 2, not negative, pos"),
        ({"control": ["none", "none"]}, r"contradicts the list of negative controls in row 1"),
        ({"perturbation_kind": ["none", "drug"]}, "Column perturbation_kind has drug in row 2"),
        ({"field_id": ["a", "a"]}, "field_id a is repeated in rows 1, 2"),
        ({"field_id": ["a", "b/c"]}, "field_id b/c in row 2 cannot be used in file names"),
        ({"field_id": ["a", "b"], "well": "A01"}, "Plate, well and site are the same in rows 1, 2"),
        ({"well": "A01"}, "field_id p1_A01_s1 is repeated in rows 1, 2"),
        ({"well": "A01", "site": [1, 2]}, "more than one perturbation in the well p1 A01"),
        ({"well": "A01", "site": [1, 2], "perturbation": "x", "concentration": [1, ""]},
         "more than one concentration in the well p1 A01"),
        ({"w1": ["a_w1.tif", "b_w1.jpg"]}, "Channel DNA: row 2: .*neither a TIFF nor a PNG"),
        ({"illumination:ER": "a.npy"}, "column illumination:ER belongs to no channel"),
        ({"illumination:DNA": ["a.npy", ""]}, "Column illumination:DNA is empty in row 2"),
        ({"perturbation": ["DMSO", "all"]},
         "Column perturbation has 'all' in row 2, which is not a valid name, since metric tables"),
        ({"cell_type": ["all", "all"]}, "Column cell_type has 'all' in rows 1, 2, which is not"),
        ({"perturbation": ["DMSO", "a\x1fb"]},
         r"Column perturbation has 'a\\x1fb' in row 2, .* since it has a control character"),
        ({"batch": ["1", "a\x07b"]}, r"Column batch has 'a\\x07b' in row 2, which is not"),
        ({"illumination:DNA": ["a.npy", "a.tif"]}, r"DNA names no \.npy file in row 2"),
    ],
)  # fmt: skip
def test_faults_of_cells(tmp_path, columns, fault):
    with pytest.raises(DataError, match=fault):
        _read(tmp_path, _frame(**columns))


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        # Both columns hold the other's files.
        ({"w1": ["A01_w2.tif", "A02_w2.tif"], "w2": ["A01_w1.tif", "A02_w1.tif"]},
         "DNA has planes whose numbers contradict their column: row 1 A01_w2.tif, row 2"),
        # One row is swapped.
        ({"w1": ["A01_w1.tif", "A02_w2.tif"], "w2": ["A01_w2.tif", "A02_w1.tif"]},
         "Channel actin has planes whose numbers contradict their column: row 2 A02_w1.tif"),
        ({"w1": ["a.tif", "b.tif"], "w2": ["x/../a.tif", "./b.tif"]},
         r"same plane .* columns of several channels.*a\.tif \(row 1, DNA; row 1, actin"),
        ({"w1": ["a.tif#0", "b.tif"], "w2": ["a.tif", "c.tif"]}, "columns of several channels"),
        ({"w1": ["a.tif", "a.tif"], "w2": ["c.tif", "d.tif"]}, "plane is used by several fields"),
    ],
)  # fmt: skip
def test_mixed_up_channels(tmp_path, columns, fault):
    with pytest.raises(DataError, match=fault):
        _read(tmp_path, _frame(**columns))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"w1": ["A01-DNA.tif", "A02-actin.tif"], "w2": ["A01-actin.tif", "A02-DNA.tif"]},
         ["Warning: Channel DNA has planes .*: row 2 A02-actin.tif",
          "Warning: Channel actin has planes .*: row 2 A02-DNA.tif"]),
        # A well, a stress and a chip that are no channels.
        ({"w1": ["p_w1_s1_DNA.tif", "p_w2_s1_DNA.tif"],
          "w2": ["p_w1_s1_actin.tif", "p_w2_s1_actin.tif"]}, []),
        ({"w1": ["actin-up_A01_a.tif", "x.tif"], "w2": ["actin-up_A01_b.tif", "y.tif"]}, []),
        ({"w1": ["chip_ch2_a.tif", "chip_ch2_b.tif"], "w2": ["chip_ch2_c.tif", "d.tif"]},
         []),
    ],
)  # fmt: skip
def test_hints_of_file_names_warn(tmp_path, columns, said):
    faults = sheet_faults(_frame(**columns), CHANNELS, cell_type="U2OS")
    hints = [line for line in faults if "has planes" in line or "lanes named" in line]
    assert len(hints) == len(said)
    for found, expected in zip(hints, said, strict=True):
        assert re.match(expected, found)


def test_perturbations_that_look_alike_are_named():
    names = ["DMSO", "dmso", "taxol", "ta\u200bxol", "é", "e\u0301", "x"]
    frame = _frame([f"A{n:02d}" for n in range(1, 8)], names)
    (said,) = [f for f in sheet_faults(frame, CHANNELS, cell_type="U") if "look alike" in f]
    assert said.startswith("Warning: ")
    for pair in ("'DMSO' and 'dmso'", r"'taxol' and 'ta\u200bxol'", r"'\xe9' and 'e\u0301'"):
        assert pair in said


def test_hints_follow_the_instruments(tmp_path):
    ids = "1B6C24C3-E50D-4513-9B0A-1D33894E09CA"
    frame = _frame(w1=[f"{w}_w1{ids}.tif" for w in "ab"], w2=[f"{w}_w2{ids}.tif" for w in "ab"])
    _read(tmp_path, frame)
    # Named channels may be any number, as long as every number means one channel.
    channels = (SheetChannel("DNA", "DAPI", "first"), SheetChannel("actin", "x", "second"))
    names = [[f"r01c0{i}f01p01-ch{c}sk1fk1fl1.tiff" for i in (1, 2)] for c in (5, 2)]
    frame = _frame().drop(columns=["w1", "w2"]).assign(first=names[0], second=names[1])
    _read(tmp_path, frame, channels=channels)
    frame.loc[1, ["first", "second"]] = frame.loc[1, ["second", "first"]].to_numpy()
    with pytest.raises(DataError, match=r"Planes named ch2 .*\n.*Planes named ch5"):
        _read(tmp_path, frame, channels=channels)
    # Pages of one file: its name says nothing.
    pages = {"w1": ["a_w1.tif#0", "b_w1.tif#0"], "w2": ["a_w1.tif#1", "b_w1.tif#1"]}
    _read(tmp_path, _frame(**pages))


def test_other_order_in_another_batch_is_a_warning():
    frame = pd.concat([_frame(batch="1"), _frame(plate="p2", batch="2")], ignore_index=True)
    channels = (SheetChannel("DNA", "DAPI", "first"), SheetChannel("actin", "x", "second"))
    frame = frame.rename(columns={"w1": "first", "w2": "second"})
    frame.loc[2:, ["first", "second"]] = frame.loc[2:, ["second", "first"]].to_numpy()
    faults = sheet_faults(frame, channels, **SETTINGS)
    assert len(faults) == 2
    assert all(f.startswith("Warning: planes named w") for f in faults)


def test_all_faults_at_once_and_not_endlessly(tmp_path):
    wells = [f"{row}{column:02d}" for row in "ABC" for column in range(1, 11)]
    frame = _frame(wells, ["x"] * 30, site="?", concentration="high").drop(columns="w1")
    assert sheet_faults(frame, CHANNELS) == [
        "There is no column w1; the table has plate, well, perturbation, w2, site, concentration."
    ]
    frame["w1"] = frame["w2"]
    with pytest.raises(DataError) as caught:
        _read(tmp_path, frame, cell_type=None)
    lines = str(caught.value).splitlines()
    assert any("no cell_type" in line for line in lines)
    site = next(line for line in lines if "Column site" in line)
    assert "19, 20 and 10 more" in site
    assert "21" not in site
    assert any("concentration has high" in line for line in lines)
    assert any("columns of several channels" in line for line in lines)


@pytest.mark.parametrize(
    ("channels", "settings", "fault"),
    [
        ((), {}, "has no channels"),
        ((CHANNELS[0], CHANNELS[0]), {}, "Two channels have the same name DNA"),
        ((SheetChannel("a/b", "", "w1"),), {}, "'a/b' cannot be the name"),
        ((SheetChannel("well", "", "w1"),), {}, "'well' cannot be the name"),
        (CHANNELS, {"perturbation_kind": "drug"}, "perturbation_kind 'drug' is not one of"),
        (CHANNELS, {"positive_controls": ["DMSO"]}, "both a negative and a positive"),
    ],
)
def test_faulty_settings(channels, settings, fault):
    assert any(fault in found for found in sheet_faults(_frame(), channels, **SETTINGS | settings))


def test_doubts_are_warnings(tmp_path):
    frame = pd.concat([_frame(), _frame(plate="p2", perturbations=("taxol", "taxol"))])
    frame = frame.assign(concentraton=1)
    found = sheet_faults(frame, CHANNELS, **SETTINGS, positive_controls=["staurosporine"])
    assert found == [
        "Warning: the control staurosporine is in no row.",
        "Warning: the column concentraton is not used.",
        "Warning: there is no negative control on the plate p2.",
    ]
    frame.drop(columns="concentraton").to_csv(tmp_path / "s.csv", index=False)
    with pytest.warns(UserWarning, match="there is no negative control, so"):
        read_sheet(tmp_path / "s.csv", CHANNELS, cell_type="x", licence="CC0", source="here")


def test_unreadable_tables(tmp_path):
    for name, content in (("a.csv", b""), ("b.csv", b"\xff\xfe\x00"), ("c.xlsx", b"x"), ("d", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("a.csv", "b.csv", "c.xlsx", "d", "none.csv"):
        with pytest.raises(DataError, match=name):
            read_sheet(tmp_path / name, CHANNELS, licence="CC0", source="here")
    (tmp_path / "e.csv").write_text("plate,well\n")
    with pytest.raises(DataError, match=r"no column perturbation, w1, w2(.|\n)*no rows"):
        read_sheet(tmp_path / "e.csv", CHANNELS, licence="CC0", source="here")


@pytest.mark.parametrize("every", [True, False])
def test_planes(plate, every):
    assert plane_faults(plate, every=every) == []
    folder = plate.folder / "p1"
    (folder / "A01_s1_w1.tif").write_bytes((folder / "A01_s1_w1.tif").read_bytes()[:-1])
    (folder / "A02_s1_w2.tif").unlink()
    (fault,) = plane_faults(plate, every=every)
    assert fault.startswith("2 planes cannot be read")
    assert "field p1_A01_s1, channel DNA (p1/A01_s1_w1.tif) is cut short" in fault
    assert "field p1_A02_s1, channel actin" in fault


def test_damage_of_pixels_is_found_where_planes_are_decoded(plate):
    for well in ("A01", "A02"):
        path = plate.folder / "p1" / f"{well}_s1_w1.tif"
        image = np.random.default_rng(0).integers(0, 9999, (6, 8), dtype=np.uint16)
        tifffile.imwrite(path, image, compression="zlib")
        with tifffile.TiffFile(path) as tiff:
            middle = tiff.pages[0].dataoffsets[0] + tiff.pages[0].databytecounts[0] // 2
        data = bytearray(path.read_bytes())
        data[middle] ^= 255
        path.write_bytes(data)
    assert plane_faults(plate, every=True)[0].startswith("2 planes")
    assert plane_faults(plate, every=False)[0].startswith("1 planes")


def test_channels_of_different_size_or_depth(plate):
    folder = plate.folder / "p1"
    tifffile.imwrite(folder / "A01_s1_w2.tif", np.zeros((6, 9), np.uint16))
    tifffile.imwrite(folder / "A02_s1_w2.tif", np.zeros((6, 8), np.uint8))
    (fault,) = plane_faults(plate, every=False)
    assert "field p1_A01_s1 (DNA uint16 6x8, actin uint16 6x9)" in fault
    assert "field p1_A02_s1 (DNA uint16 6x8, actin uint8 6x8)" in fault


def test_one_plane_under_two_channels(plate):
    folder = plate.folder / "p1"
    for channel in (1, 2):
        tifffile.imwrite(
            folder / f"A01_s1_w{channel}.tif", np.arange(48, dtype=np.uint16).reshape(6, 8)
        )
    (fault,) = plane_faults(plate, every=False)
    assert fault.startswith("1 fields have the same pixels in two channels")
    assert "field p1_A01_s1 (DNA and actin)" in fault
    for channel in (1, 2):
        tifffile.imwrite(folder / f"A01_s1_w{channel}.tif", np.zeros((6, 8), np.uint16))
    assert plane_faults(plate, every=True) == []


def test_illumination_functions(plate):
    np.save(plate.folder / "right.npy", np.ones((6, 8)))
    np.save(plate.folder / "wrong.npy", np.ones((8, 6)))
    plate.frame["illumination:DNA"] = ["right.npy", "right.npy"]
    assert plane_faults(plate, every=False) == []
    plate.frame["illumination:DNA"] = ["wrong.npy", "none.npy"]
    (fault,) = plane_faults(plate, every=False)
    assert "wrong.npy ((8, 6))" in fault
    assert "none.npy cannot be opened" in fault


def test_swapped_files_show_in_a_loaded_sheet(plate):
    plate.frame.loc[1, ["DNA", "actin"]] = plate.frame.loc[1, ["actin", "DNA"]].to_numpy()
    faults = plane_faults(plate, every=False)
    assert [fault[:16] for fault in faults] == ["Planes named w1 ", "Planes named w2 "]


def test_real_plate(mirror, tmp_path):
    names = ("DNA", "ER", "RNA", "AGP", "Mito")
    folder = (mirror / "plates" / "jump_rab30").resolve()
    frame = pd.DataFrame({"plate": "p", "well": ["G01", "L07"], "perturbation": ["orf", "crispr"]})
    for name in names:
        frame[name] = [f"{folder}/{well}_{name}.tif" for well in frame["well"]]
    frame.to_csv(tmp_path / "s.csv", index=False)
    channels = [SheetChannel(name, name, name) for name in names]
    settings = {"cell_type": "U2OS", "licence": "CC0", "source": "JUMP"}
    with pytest.warns(UserWarning, match="no negative control"):
        sheet = read_sheet(tmp_path / "s.csv", channels, **settings)
    assert plane_faults(sheet, every=True) == []
    channels[0], channels[1] = (
        SheetChannel("DNA", "x", "ER"),
        SheetChannel("ER", "x", "DNA"),
    )
    with pytest.warns(UserWarning, match="no negative control"):
        sheet = read_sheet(tmp_path / "s.csv", channels, **settings)
    faults = plane_faults(sheet, every=False)
    assert "Channel DNA has planes named like another channel: row 1 G01_ER.tif" in faults[0]


def test_fields_unlike_their_plate_are_named(tmp_path):
    frame = _frame(["A01", "A02", "A03"], ["DMSO", "taxol", "x"])
    (tmp_path / "p1").mkdir()
    for row, (shape, kind) in enumerate([((9, 8), "u2"), ((9, 9), "u2"), ((9, 9), "u2")]):
        for column in ("w1", "w2"):
            tifffile.imwrite(tmp_path / frame.at[row, column], np.ones(shape, kind))
    sheet = _read(tmp_path, frame)
    for every in (True, False):
        (said,) = [f for f in plane_faults(sheet, every=every) if not f.startswith("Warning")]
        assert said.startswith("1 fields differ in size or depth from the others of their plate")
        assert "uint16 9x8, plate p1 has uint16 9x9" in said
