"""Archives that want to write elsewhere, or to fill the memory."""

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch.many_files import fetch_plate
from morphpipe.datasets.fetch.remote_zip import fetch_members
from morphpipe.datasets.preparation.planes import PlaneReader
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable
from morphpipe.tables.zip_directory import members

OUTSIDE = ["../a.png", "/a.png", "x/../../a.png", "..\\a.png", "c:/a.png", "a\n.png", "x//a.png"]


def _zip(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, data, method)
    return path


def _png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", OUTSIDE)
def test_members_that_lead_outside_are_not_fetched(tmp_path, name):
    remote = _zip(tmp_path / "remote.zip", [("good.png", b"1"), (name, b"2")])
    with pytest.raises(DataError, match="points outside the folder"):
        fetch_members(remote.as_uri(), tmp_path / "here/local.zip", wanted=lambda _: True)
    assert not (tmp_path / "here/local.zip").exists()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {"remote.zip", "local.zip.part"}


@pytest.mark.parametrize("key", OUTSIDE)
def test_keys_that_lead_out_of_a_mirror_are_not_read(tmp_path, key):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "a.png").write_bytes(b"secret")
    with pytest.raises(DataError, match="points outside the folder"):
        fetch_plate((tmp_path / "mirror").as_uri(), [key], tmp_path / "plate.zip")
    assert not (tmp_path / "plate.zip").exists()


def test_a_symbolic_link_arrives_as_a_plain_file(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    remote = _zip(tmp_path / "remote.zip", [(link, b"/etc/passwd")])
    fetch_members(remote.as_uri(), tmp_path / "local.zip", wanted=lambda _: True)
    with zipfile.ZipFile(tmp_path / "local.zip") as archive:
        (member,) = archive.infolist()
        assert not stat.S_ISLNK(member.external_attr >> 16)
        assert archive.read(member) == b"/etc/passwd"  # its text, not what it points to


def test_announced_sizes_are_looked_at_before_a_member_is_fetched(tmp_path):
    remote = _zip(tmp_path / "r.zip", [("a.png", bytes(1000))], zipfile.ZIP_DEFLATED)
    content = bytearray(remote.read_bytes())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<L", content, at + 24, 1 << 30)  # the size in the directory
    remote.write_bytes(content)
    with pytest.raises(DataError, match="too much for an image"):
        fetch_members(remote.as_uri(), tmp_path / "local.zip", wanted=lambda _: True)


def _lying(path, real, announced):
    """A deflated member that announces fewer bytes than it unpacks to."""
    _zip(path, [("bomb.png", real)], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", content, content.index(signature) + at, announced)
    path.write_bytes(content)


def test_a_member_larger_than_it_announces_is_refused(tmp_path, peak_memory):
    _lying(tmp_path / "r.zip", bytes(400 << 20), 100)
    with peak_memory(100 << 20):
        with pytest.raises(DataError, match="arrives damaged"):
            fetch_members((tmp_path / "r.zip").as_uri(), tmp_path / "l.zip", wanted=lambda _: True)
        with PlaneReader(tmp_path) as reader, pytest.raises(DataError, match="damaged inside"):
            reader.read("r.zip!bomb.png", "the plane")


def test_a_member_of_an_absurd_size_is_refused(tmp_path):
    _lying(tmp_path / "r.zip", bytes(10), (1 << 32) - 2)
    with PlaneReader(tmp_path) as reader, pytest.raises(DataError, match=r"has 4\.3 GB inside"):
        reader.read("r.zip!bomb.png", "the plane")


def _fields(tmp_path, make_manifest, make_row, length=None):
    """A table over a deflated archive, as RxRx1's is read; the second plane is a bomb."""
    bomb = _png(np.zeros((8, 8), np.uint8)) + bytes(300 << 20)
    path = _zip(
        tmp_path / "a.zip",
        [("f/DNA.png", _png(np.zeros((8, 8), np.uint8))), ("f/ER.png", bomb)],
        zipfile.ZIP_DEFLATED,
    )
    planes = [
        {
            "file": path.name,
            "offset": member.offset,
            "length": length or member.length,
            "compression": "deflated",
        }
        for member in members(path)
    ]
    row = dict.fromkeys(FIELD_SCHEMA.names) | make_row("f")
    row |= {"height": 8, "width": 8, "channels": planes}
    return FieldTable(pa.Table.from_pylist([row], schema=FIELD_SCHEMA), make_manifest(), tmp_path)


def test_a_plane_unpacks_to_no_more_than_the_table_allows(
    tmp_path, make_manifest, make_row, peak_memory
):
    fields = _fields(tmp_path, make_manifest, make_row)
    with (
        FieldReader(fields) as reader,
        peak_memory(50 << 20),
        pytest.raises(DataError, match=r"channel ER .*(too many|unpacks to more)"),
    ):
        reader.read(0)


def test_no_more_is_read_than_the_table_allows(tmp_path, make_manifest, make_row, peak_memory):
    fields = _fields(tmp_path, make_manifest, make_row, length=1 << 40)
    with (
        FieldReader(fields) as reader,
        peak_memory(50 << 20),
        pytest.raises(DataError, match="too many for its pixels"),
    ):
        reader.read(0)


def _claims(width, height):
    """A PNG whose header names many pixels; checksums fit."""
    content = bytearray(_png(np.zeros((8, 8), np.uint8)))
    struct.pack_into(">2L", content, 16, width, height)
    struct.pack_into(">L", content, 29, zlib.crc32(content[12:29]))
    return bytes(content)


def test_a_png_that_names_too_many_pixels_is_refused(tmp_path, make_manifest, make_row):
    (tmp_path / "bomb.png").write_bytes(_claims(60_000, 60_000))
    with PlaneReader(tmp_path) as reader:
        for read in (reader.read, reader.shape):
            with pytest.raises(DataError, match="no plane of a microscope"):
                read("bomb.png", "the plane")
    with write_archive(tmp_path / "a.zip", make_manifest(("DNA",))) as archive:
        archive.add(make_row("f"), np.zeros((1, 8, 8), np.uint8))
    fields = read_fields(tmp_path / "a.zip")
    plane = fields.planes()[0][0] | {"file": "bomb.png", "offset": None, "length": None}
    place = FIELD_SCHEMA.get_field_index("channels")
    column = pa.array([[plane]], FIELD_SCHEMA.field("channels").type)
    table = fields.table.set_column(place, FIELD_SCHEMA.field("channels"), column)
    with (
        FieldReader(replace(fields, table=table)) as reader,
        pytest.raises(DataError, match="no plane of a microscope"),
    ):
        reader.read(0)


def test_a_png_of_another_size_is_refused_before_it_is_unpacked(tmp_path, make_manifest, make_row):
    (tmp_path / "f.png").write_bytes(_claims(9000, 9000))
    row = dict.fromkeys(FIELD_SCHEMA.names) | make_row("f")
    plane = {"file": "f.png", "offset": None, "length": None, "compression": None}
    row |= {"height": 8, "width": 8, "channels": [plane]}
    table = pa.Table.from_pylist([row], schema=FIELD_SCHEMA)
    with (
        FieldReader(FieldTable(table, make_manifest(("DNA",)), tmp_path)) as reader,
        pytest.raises(DataError, match="has 9000x9000 pixels, the field table says 8x8"),
    ):
        reader.read(0)


def _tiff(pixels, height, width, compression):
    """A TIFF of one strip with a header of one's own choice."""
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(pixels)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack("<HHLL", tag, kind, 1, value)
    pixels += b"\0" * (len(pixels) % 2)
    return b"II*\0" + struct.pack("<L", 8 + len(pixels)) + pixels + directory + bytes(4)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (_tiff(zlib.compress(bytes(100)), 1 << 20, 1 << 20, 8), "megapixels can be read"),
        (_tiff(zlib.compress(bytes(300 << 20)), 10, 10, 8), "unpacks to more pixels"),
        (_tiff(bytes(100), 10, 10, 50000), "compressed in an unknown way"),
    ],
)
def test_tiffs_that_want_to_fill_the_memory(tmp_path, content, match, peak_memory):
    (tmp_path / "bomb.tif").write_bytes(content)
    with (
        PlaneReader(tmp_path) as reader,
        peak_memory(50 << 20),
        pytest.raises(DataError, match=match),
    ):
        reader.read("bomb.tif", "the plane")


def test_an_array_that_names_too_many_numbers_is_refused(tmp_path):
    with open(tmp_path / "a.npy", "wb") as stream:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 24, 1 << 24)}
        np.lib.format.write_array_header_1_0(stream, header)
    with PlaneReader(tmp_path) as reader, pytest.raises(DataError, match="NumPy file"):
        reader.read_array("a.npy", "the illumination")


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with PlaneReader(tmp_path) as reader, pytest.raises(DataError, match="NumPy file"):
        reader.read_array("a.npy", "the illumination")
