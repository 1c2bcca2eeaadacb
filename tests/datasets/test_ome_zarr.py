import json

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import OMERO, Multiscales, Plate, Reader

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.ome_zarr import export_plate
from morphpipe.imaging.rgb import RXRX1_COLOURS
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.manifest import Channel, ChannelManifest

WELLS = [("B02", 2), ("C11", 1), ("B02", 1), ("AA03", 1)]


def _real_rows(make_row):
    return [
        make_row(f"f{number}", well=well, site=site, perturbation=f"p{number}")
        for number, (well, site) in enumerate(WELLS)
    ]


def _generated_rows(make_row):
    nowhere = dict.fromkeys(("batch", "plate", "well", "site"))
    return [
        make_row(
            f"g{number}",
            origin="generated",
            perturbation=perturbation,
            experiment="e",
            training_seed=0,
            sampling_seed=0,
            sample_index=index,
            **nowhere,
        )
        for number, (perturbation, index) in enumerate(
            [("1138", 1), ("1138", 0), ("cytochalasin-b", 0)]
        )
    ]


def _read(path, place):
    return zarr.open_array(str(path / place), mode="r")[:]


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_real_wells_read_back(make_fields, make_row, tmp_path, bit_depth):
    fields, images = make_fields(
        tmp_path / "a.zip", 4, rows=_real_rows(make_row), size=(128, 160), bit_depth=bit_depth
    )
    path = tmp_path / "plate.ome.zarr"
    export_plate(fields, path)
    # Fields of a well in the order of their sites.
    for place, number in (("B/02/0", 2), ("B/02/1", 0), ("C/11/0", 1), ("AA/03/0", 3)):
        read = _read(path, f"{place}/s0")
        assert read.dtype == images.dtype
        np.testing.assert_array_equal(read, images[number])
        attributes = zarr.open_group(str(path / place), mode="r").attrs["morphpipe"]
        assert attributes["field_id"] == f"f{number}"
        assert attributes["perturbation"] == f"p{number}"
        assert attributes["licence"] == "MIT"
    # Each level is the mean over four pixels of the level before, cut to a whole number.
    half = images[2].reshape(2, 64, 2, 80, 2).sum(axis=(2, 4), dtype=np.int64) // 4
    np.testing.assert_array_equal(_read(path, "B/02/0/s1"), half)
    quarter = half.reshape(2, 32, 2, 40, 2).sum(axis=(2, 4)) // 4
    np.testing.assert_array_equal(_read(path, "B/02/0/s2"), quarter)
    plate = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["plate"]
    assert [row["name"] for row in plate["rows"]] == ["B", "C", "AA"]
    assert [column["name"] for column in plate["columns"]] == ["02", "03", "11"]
    assert plate["field_count"] == 2
    # A file per level, whatever the number of channels.
    assert len([file for file in (path / "B/02/0/s0").rglob("*") if file.is_file()]) == 2


def test_the_librarys_reader_finds_the_wells(make_fields, make_row, tmp_path):
    fields, images = make_fields(tmp_path / "a.zip", 4, rows=_real_rows(make_row), size=(64, 64))
    export_plate(fields, tmp_path / "plate.ome.zarr")
    node = next(iter(Reader(parse_url(tmp_path / "plate.ome.zarr"))()))
    plate = node.first(Plate)
    assert sorted(plate.well_paths) == ["AA/03", "B/02", "C/11"]
    # The stitched plate that napari shows: three rows and columns, first sites, gaps black.
    stitched = node.data[0].compute()
    assert stitched.shape == (2, 3 * 64, 3 * 64)
    np.testing.assert_array_equal(stitched[:, :64, :64], images[2])
    np.testing.assert_array_equal(stitched[:, 64:128, 128:], images[1])
    assert not stitched[:, :64, 64:].any()
    image = next(iter(Reader(parse_url(tmp_path / "plate.ome.zarr" / "B" / "02" / "0"))()))
    assert len(image.first(Multiscales).datasets) == 2
    assert image.first(OMERO).image_data["channels"][1]["label"] == "ER"


def test_metadata_follow_the_specification(make_fields, make_row, tmp_path):
    from ome_zarr_models.v05 import HCS

    fields, _ = make_fields(tmp_path / "a.zip", 4, rows=_real_rows(make_row), size=(64, 64))
    export_plate(fields, tmp_path / "plate.ome.zarr")
    plate = HCS.from_zarr(zarr.open_group(str(tmp_path / "plate.ome.zarr"), mode="r"))
    assert len(list(plate.well_groups)) == 3


def test_pixel_size_names_colours_and_ranges(make_fields, make_row, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", 4, rows=_real_rows(make_row), size=(128, 128))
    export_plate(fields, tmp_path / "plate.ome.zarr")
    group = zarr.open_group(str(tmp_path / "plate.ome.zarr" / "B/02/0"), mode="r")
    multiscale = group.attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in multiscale["axes"]] == ["c", "y", "x"]
    assert [axis.get("unit") for axis in multiscale["axes"]] == [None, "micrometer", "micrometer"]
    scales = [
        dataset["coordinateTransformations"][0]["scale"] for dataset in multiscale["datasets"]
    ]
    np.testing.assert_allclose(scales, [[1, 0.65, 0.65], [1, 1.3, 1.3], [1, 2.6, 2.6]])
    channels = group.attrs["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["DNA", "ER"]
    assert channels[0]["color"] == "1300F9"
    assert channels[0]["window"] == {"min": 0, "max": 255, "start": 0, "end": 255}


def test_a_rule_for_rgb_says_what_is_shown_and_how(make_row, tmp_path):
    names = ("AGP", "DNA", "ER", "Mito")
    manifest = ChannelManifest(
        tuple(Channel(n, n) for n in names), None, 16, "MIT", "own", rgb=("AGP", "ER", "DNA")
    )
    with write_archive(tmp_path / "a.zip", manifest) as archive:
        archive.add(make_row("f"), np.zeros((4, 32, 32), np.uint16))
    export_plate(read_fields(tmp_path / "a.zip"), tmp_path / "plate.ome.zarr")
    group = zarr.open_group(str(tmp_path / "plate.ome.zarr" / "B/02/0"), mode="r")
    channels = group.attrs["ome"]["omero"]["channels"]
    assert [channel["active"] for channel in channels] == [True, True, True, False]
    assert [channel["color"] for channel in channels[:3]] == ["FF0000", "0000FF", "00FF00"]


def test_rxrx1_is_shown_as_its_display_table_says(make_row, tmp_path):
    names = tuple(colour.channel for colour in RXRX1_COLOURS)
    manifest = ChannelManifest(tuple(Channel(n, n) for n in names), None, 8, "MIT", "RxRx1")
    with write_archive(tmp_path / "a.zip", manifest) as archive:
        archive.add(make_row("f"), np.zeros((6, 32, 32), np.uint8))
    export_plate(read_fields(tmp_path / "a.zip"), tmp_path / "plate.ome.zarr")
    group = zarr.open_group(str(tmp_path / "plate.ome.zarr" / "B/02/0"), mode="r")
    ends = [channel["window"]["end"] for channel in group.attrs["ome"]["omero"]["channels"]]
    assert ends == [51, 107, 64, 191, 89, 191]
    # Without a pixel size there is no unit, and a small field has no smaller copies.
    multiscale = group.attrs["ome"]["multiscales"][0]
    assert all("unit" not in axis for axis in multiscale["axes"])
    assert len(multiscale["datasets"]) == 1


def test_generated_fields_have_a_row_per_condition(make_fields, make_row, tmp_path):
    fields, images = make_fields(
        tmp_path / "a.zip", 3, rows=_generated_rows(make_row), size=(64, 64)
    )
    path = tmp_path / "generated.ome.zarr"
    export_plate(fields, path)
    for place, number in (
        ("HUVEC1138/1", 1),
        ("HUVEC1138/2", 0),
        ("HUVECcytochalasinb/1", 2),
    ):
        np.testing.assert_array_equal(_read(path, f"{place}/0/s0"), images[number])
    attributes = zarr.open_group(str(path), mode="r").attrs
    assert "no real wells" in attributes["ome"]["plate"]["name"]
    assert attributes["morphpipe"]["rows"]["HUVECcytochalasinb"] == {
        "cell_type": "HUVEC",
        "perturbation": "cytochalasin-b",
    }


def test_conditions_whose_names_would_be_one(make_fields, make_row, tmp_path):
    rows = [
        row | {"perturbation": name}
        for row, name in zip(_generated_rows(make_row), ("a-1", "a1", "b"), strict=True)
    ]
    fields, _ = make_fields(tmp_path / "a.zip", 3, rows=rows, size=(32, 32))
    export_plate(fields, tmp_path / "p.ome.zarr")
    attributes = zarr.open_group(str(tmp_path / "p.ome.zarr"), mode="r").attrs["morphpipe"]
    assert {row["perturbation"] for row in attributes["rows"].values()} == {"a-1", "a1", "b"}


def test_what_cannot_be_one_plate_is_refused(make_fields, make_row, tmp_path):
    rows = _real_rows(make_row)
    for number, (change, message) in enumerate(
        (
            ({"plate": "p2"}, r"a single plate, but the fields are from 2 \(b1/p1, b1/p2\)"),
            ({"well": "left"}, "f3 has the well 'left'"),
            ({"origin": "generated"}, "has generated and real: choose one kind"),
        )
    ):
        fields, _ = make_fields(
            tmp_path / f"{number}.zip", 4, rows=[*rows[:3], rows[3] | change], size=(8, 8)
        )
        with pytest.raises(DataError, match=message):
            export_plate(fields, tmp_path / "p.ome.zarr")
    with pytest.raises(DataError, match="has none: choose"):
        export_plate(fields.take([]), tmp_path / "p.ome.zarr")
    assert not (tmp_path / "p.ome.zarr").exists()


def test_nothing_is_left_of_an_export_that_fails(make_fields, make_row, tmp_path, monkeypatch):
    fields, _ = make_fields(tmp_path / "a.zip", 4, rows=_real_rows(make_row), size=(32, 32))
    read = FieldReader.read

    def fail(self, row):
        if row == 3:
            raise DataError("damaged")
        return read(self, row)

    monkeypatch.setattr(FieldReader, "read", fail)
    with pytest.raises(DataError, match="damaged"):
        export_plate(fields, tmp_path / "p.ome.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]
