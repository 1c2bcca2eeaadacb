import warnings

import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.plate_exports import add_layout, sheet_from_folder

GUID = "1B6C24C3-E50D-4513-9B0A-1D33894E09CA"


@pytest.fixture
def make(tmp_path):
    """Make a folder of empty files: only their names are read."""

    def make(*names):
        for name in names:
            path = tmp_path / "P7" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "P7"

    return make


def _operetta(row=3, column=4, field=2, plane=1, channels=(1, 2), time=1):
    stem = f"r{row:02d}c{column:02d}f{field:02d}p{plane:02d}"
    return [f"{stem}-ch{channel}sk{time}fk1fl1.tiff" for channel in channels]


def test_operetta(make):
    folder = make(*(f"Images/{name}" for name in (*_operetta(), *_operetta(row=16, column=24))))
    sheet = sheet_from_folder(folder)
    assert sheet.columns.tolist() == ["plate", "well", "site", "ch1", "ch2", "perturbation"]
    assert sheet[["plate", "well", "site"]].to_numpy().tolist() == [
        ["P7", "C04", 2],
        ["P7", "P24", 2],
    ]
    assert sheet.at[0, "ch2"] == "Images/r03c04f02p01-ch2sk1fk1fl1.tiff"
    assert sheet["perturbation"].isna().all()
    assert sheet_from_folder(folder / "Images")["plate"].unique().tolist() == ["P7"]


@pytest.mark.parametrize(
    ("name", "well", "site"),
    [
        (f"Week1_150607_B02_s1_w1{GUID}.tif", "B02", 1),
        ("exp_A01_s3_w1.tif", "A01", 3),
        ("A01_w1.TIF", "A01", 1),
        (f"G10_s4_w1{GUID}.tif", "G10", 4),
        ("exp_C05_s2.tif", "C05", 2),
        ("240124d3_B05_s151E1E486E-D339-44E8-9990-9A8894C2D5CA.tif", "B05", 15),
    ],
)
def test_imagexpress(make, name, well, site):
    sheet = sheet_from_folder(make(name))
    assert sheet.loc[0, ["plate", "well", "site", "w1"]].tolist() == ["P7", well, site, name]


@pytest.mark.parametrize(
    ("names", "channels", "well"),
    [
        (["r01c03f02p01-ch01t01.tiff", "r01c03f02p01-ch02t01.tiff"], ["ch1", "ch2"], "A03"),
        (
            ["r02c07f02p01rc1-ch1sk1fk1fl1.tiff", "r02c07f02p01rc2-ch1sk1fk1fl1.tiff"],
            ["ch1", "ch2"],
            "B07",
        ),
        (["r32c48f02p01-ch1sk1fk1fl1.tiff"], ["ch1"], "AF48"),
    ],
    ids=["Harmony 5.3", "records", "1,536 wells"],
)
def test_other_names_of_harmony(make, names, channels, well):
    sheet = sheet_from_folder(make(*names))
    assert sheet.columns[3:-1].tolist() == channels
    assert sheet[["well", "site"]].to_numpy().tolist() == [[well, 2]]


def test_timepoints_of_harmony_are_told_apart(make):
    folder = make("r01c03f02p01-ch01t01.tiff", "r01c03f02p01-ch01t02.tiff")
    with pytest.raises(DataError, match="several values of timepoint"):
        sheet_from_folder(folder)
    assert sheet_from_folder(folder, timepoint=2).at[0, "ch1"].endswith("t02.tiff")


def test_all_wells_of_an_imagexpress(make):
    wells = ["A01", "P48", "Q01", "Z24", "AA01", "AF48"]
    sheet = sheet_from_folder(make(*(f"P_{well}_s1_w1.tif" for well in wells)))
    assert sorted(sheet["well"]) == sorted(wells)


def test_what_macos_leaves_is_no_image(make):
    inside = ("__MACOSX/P1/A01_s1_w1.tif", "__MACOSX/P1/._A01_s1_w1.tif")
    folder = make("A01_s1_w1.tif", "._A01_s1_w1.tif", *inside)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(sheet_from_folder(folder)) == 1


def test_a_projection_beside_its_planes(make):
    stack = [f"TimePoint_1/ZStep_{z}/A01_s1_w1.tif" for z in (1, 2)]
    folder = make("TimePoint_1/A01_s1_w1.tif", *stack)
    with pytest.raises(DataError, match=r"of plane \(0, 1, 2\).*0 stands for images out"):
        sheet_from_folder(folder)
    for plane, location in ((0, "TimePoint_1/A01_s1_w1.tif"), (2, stack[1])):
        assert sheet_from_folder(folder, plane=plane)["w1"].tolist() == [location]


def test_wavelength_is_one_digit_before_an_id(make):
    # The id after w1 may begin with a digit.
    sheet = sheet_from_folder(
        make(f"A01_s1_w1{GUID}.tif", f"A01_s1_w2{GUID}.tif", f"A01_s1_w4{GUID}.tif")
    )
    assert sheet.columns.tolist() == ["plate", "well", "site", "w1", "w2", "w4", "perturbation"]


def test_plates_are_folders_or_named(make):
    folder = make("a/TimePoint_1/A01_s1_w1.tif", "b/TimePoint_1/A01_s1_w1.tif")
    assert sheet_from_folder(folder)["plate"].tolist() == ["a", "b"]
    assert sheet_from_folder(folder / "a", plate="X")["plate"].tolist() == ["X"]
    with pytest.raises(DataError, match=r"the same channel, plate.*a/TimePoint_1/A01_s1_w1"):
        sheet_from_folder(folder, plate="X")


def test_planes_and_timepoints_have_to_be_chosen(make):
    folder = make(*_operetta(), *_operetta(plane=2), *_operetta(plane=2, time=3))
    with pytest.raises(DataError, match=r"several values of plane \(1, 2\): choose one"):
        sheet_from_folder(folder)
    with pytest.raises(DataError, match=r"several values of timepoint \(1, 3\)"):
        sheet_from_folder(folder, plane=2)
    with pytest.raises(DataError, match="no plane 5; it has 1, 2"):
        sheet_from_folder(folder, plane=5)
    sheet = sheet_from_folder(folder, plane=2, timepoint=3)
    assert sheet["ch1"].tolist() == ["r03c04f02p02-ch1sk3fk1fl1.tiff"]


def test_folders_of_imagexpress_are_planes_and_timepoints(make):
    folder = make("TimePoint_1/ZStep_1/A01_w1.tif", "TimePoint_1/ZStep_2/A01_w1.tif")
    with pytest.raises(DataError, match="several values of plane"):
        sheet_from_folder(folder)
    assert sheet_from_folder(folder, plane=2)["w1"].tolist() == ["TimePoint_1/ZStep_2/A01_w1.tif"]


def test_all_fields_that_lack_a_channel_are_listed(make):
    names = [*_operetta(), *_operetta(row=1, channels=(2,)), *_operetta(row=2, channels=(1,))]
    with pytest.raises(
        DataError, match=r"2 fields .*A04 site 2 lacks ch1; P7 well B04 site 2 lacks ch2"
    ):
        sheet_from_folder(make(*names))


def test_other_images_are_listed(make):
    folder = make(*_operetta(), "overview.tiff", "A01_s1_thumb.png", "Index.xml")
    with pytest.warns(UserWarning, match=r"2 images .*A01_s1_thumb\.png, overview\.tiff") as record:
        sheet = sheet_from_folder(folder)
    assert len(sheet) == 1
    assert "Index.xml" not in str(record[0].message)


def test_layouts(make):
    folder = make(*_operetta(), "A01_s1_w1.tif")
    with pytest.raises(DataError, match="operetta and by imagexpress: choose"):
        sheet_from_folder(folder)
    with pytest.warns(UserWarning, match="1 images"):
        assert len(sheet_from_folder(folder, layout="operetta")) == 1
    with pytest.raises(DataError, match="Unknown layout 'opera'"):
        sheet_from_folder(folder, layout="opera")
    with pytest.raises(DataError, match="does not exist"):
        sheet_from_folder(folder / "none")


@pytest.mark.parametrize(
    "names", [["a.txt"], ["A01.tif"], ["AG01_w1.tif"], ["r03c49f01p01-ch1sk1fk1fl1.tiff"]]
)
def test_nothing_that_fits(make, names):
    with pytest.raises(DataError, match="No image below"):
        sheet_from_folder(make(*names))


@pytest.fixture
def frame(make):
    return sheet_from_folder(make(*_operetta(), *_operetta(field=3), *_operetta(row=4)))


def test_plate_map(frame):
    layout = pd.DataFrame(
        {"well": ["c4", "D04", "H12"], "perturbation": ["DMSO", "taxol", "empty"],
         "concentration": [None, 0.3, None]}
    )  # fmt: skip
    with pytest.warns(UserWarning, match="1 wells of the plate map have no image: H12"):
        sheet = add_layout(frame, layout)
    assert sheet["well"].tolist() == ["C04", "C04", "D04"]
    assert sheet["perturbation"].tolist() == ["DMSO", "DMSO", "taxol"]
    assert sheet["concentration"].iloc[2] == 0.3
    assert sheet["ch2"].tolist() == frame["ch2"].tolist()
    assert len(sheet) == len(frame)


def test_plate_map_by_plate(frame):
    both = pd.concat([frame, frame.assign(plate="P8")])
    layout = pd.DataFrame(
        [("P7", "C04", "a"), ("P7", "D04", "b"), ("P8", "C04", "c"), ("P8", "D04", "d")],
        columns=["plate", "well", "perturbation"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "".join(add_layout(both, layout)["perturbation"]) == "aabccd"
    with pytest.raises(DataError, match="plate map lacks P8 C04, P8 D04"):
        add_layout(both, layout.iloc[:2])


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"well": ["C04"]}, "lacks the column perturbation"),
        ({"well": ["C04"], "perturbation": ["a"]}, "plate map lacks P7 D04"),
        ({"well": ["C04", "c4"], "perturbation": ["a", "b"]}, "duplicates: C04"),
        ({"well": ["C04", "4C"], "perturbation": ["a", "b"]}, "the wells 4C"),
        ({"well": ["C04", "D04"], "perturbation": ["a", " "]}, "no perturbation for D04"),
        ({"well": ["C04"], "perturbation": ["a"], "site": [1]}, "both have the column site"),
    ],
)
def test_bad_plate_map(frame, layout, message):
    with pytest.raises(DataError, match=message):
        add_layout(frame, pd.DataFrame(layout))


def test_real_folders(mirror):
    sheet = sheet_from_folder(mirror / "plates" / "pediatric")
    assert sheet[["plate", "well", "site"]].to_numpy().tolist() == [["pediatric", "C03", 3]]
    assert [c for c in sheet if c.startswith("ch")] == [f"ch{i}" for i in range(1, 7)]
    with pytest.raises(DataError, match=r"G01_AGP\.tif.*write the sample sheet by hand"):
        sheet_from_folder(mirror / "plates" / "jump_rab30")
