import io
import os
import signal
import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from morphpipe.core.errors import DataError
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import FieldReader, read_images
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable
from morphpipe.tables.png import decode_plane, encode_png
from morphpipe.tables.zip_directory import directory_start, members


def _patch(path, offset, new):
    content = bytearray(path.read_bytes())
    content[offset : offset + len(new)] = new
    path.write_bytes(content)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_images_survive_the_archive(make_fields, tmp_path, bit_depth):
    fields, images = make_fields(tmp_path / "a.zip", 3, size=(7, 11), bit_depth=bit_depth)
    assert fields.manifest.bit_depth == bit_depth
    read = read_images(fields)
    assert read.dtype == images.dtype
    np.testing.assert_array_equal(read, images)
    with FieldReader(fields) as reader:
        np.testing.assert_array_equal(reader.read(2), images[2])
        batches = list(reader.batches(2))
    assert [rows for rows, _ in batches] == [slice(0, 2), slice(2, 3)]
    np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), images)


def test_other_programs_read_the_archive(make_fields, tmp_path):
    _, images = make_fields(tmp_path / "a.zip", 2)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "f0/DNA.png",
            "f0/ER.png",
            "f1/DNA.png",
            "f1/ER.png",
            "fields.parquet",
        ]
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        with archive.open("f1/ER.png") as stream:
            np.testing.assert_array_equal(np.asarray(Image.open(stream)), images[1, 1])


def test_same_fields_give_the_same_bytes(make_fields, tmp_path):
    for folder in ("x", "y"):
        make_fields(tmp_path / folder / "a.zip")
    assert (tmp_path / "x/a.zip").read_bytes() == (tmp_path / "y/a.zip").read_bytes()


@pytest.mark.parametrize("comment", [b"", b"a comment that says PK\x06\x06"])
@pytest.mark.parametrize("number", [0, 3, 66_000])
def test_directory_is_found_as_zipfile_finds_it(tmp_path, number, comment):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(number):
            archive.writestr(zipfile.ZipInfo(f"{i}"), b"")
        archive.comment = comment
    with zipfile.ZipFile(path) as archive:
        assert directory_start(path) == archive.start_dir


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_flipped_bit_and_every_cut_of_a_plane_is_noticed(kind):
    plane = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (6, 5)).astype(kind)
    data = encode_png(plane)
    np.testing.assert_array_equal(decode_plane(data, "here"), plane)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        with pytest.raises(DataError, match="here cannot be decoded"):
            decode_plane(bytes(damaged), "here")
        with pytest.raises(DataError, match="here cannot be decoded"):
            decode_plane(data[:at], "here")


def _png(width, rows, height, depth=8, interlaced=0):
    """A valid PNG of a header and as many unfiltered rows, each chunk with its checksum."""
    chunks = (
        (b"IHDR", struct.pack(">2L5B", width, height, depth, 0, 0, 0, interlaced)),
        (b"IDAT", zlib.compress((b"\0" + b"\x7f" * (width * depth // 8)) * rows)),
        (b"IEND", b""),
    )
    content = (
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(content)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_plane_with_too_few_rows_is_refused(rows, depth):
    assert decode_plane(_png(4, 6, 6, depth), "here").all()
    with pytest.raises(DataError, match="here cannot be decoded"):
        decode_plane(_png(4, rows, 6, depth), "here")


def test_black_rows_and_interlaced_planes_are_read():
    plane = np.zeros((6, 4), np.uint8)
    np.testing.assert_array_equal(decode_plane(encode_png(plane), "here"), plane)
    # Two pixels below each other come in the first and in the last of seven passes.
    plane = decode_plane(_png(1, 2, 2, interlaced=1), "here")
    np.testing.assert_array_equal(plane, [[127], [127]])
    with pytest.raises(DataError, match=r"2 of 4 bytes of its rows are there"):
        decode_plane(_png(1, 1, 2, interlaced=1), "here")


def test_colour_is_no_plane():
    with pytest.raises(DataError, match="not a grey"):
        decode_plane(encode_png(np.zeros((4, 4, 3), np.uint8)), "here")


def test_truncated_png_names_field_and_channel(make_fields, tmp_path):
    path = tmp_path / "a.zip"
    fields, _ = make_fields(path)
    plane = fields.planes()[1][1]
    _patch(path, plane["offset"] + plane["length"] // 2, bytes(plane["length"] // 2))
    with FieldReader(fields) as reader:
        reader.read(0)
        with pytest.raises(
            DataError, match=r"Field f1, channel ER \(.*a\.zip\) is not the plane that"
        ):
            reader.read(1)


def _without_compression(path, make_manifest, make_row):
    """Fields whose planes have as many bytes each, as flat ones have."""
    with write_archive(path, make_manifest()) as archive:
        for i in range(3):
            archive.add(make_row(f"f{i}"), np.full((2, 8, 8), 10 * i + 10, np.uint8))
    return read_fields(path)


@pytest.mark.parametrize("whole", [False, True])
def test_planes_exchanged_in_place_are_noticed(make_manifest, make_row, tmp_path, whole):
    path = tmp_path / "a.zip"
    fields = _without_compression(path, make_manifest, make_row)
    first, second = fields.planes()[0][1], fields.planes()[2][1]
    assert first["length"] == second["length"]
    content = path.read_bytes()
    # The bytes of the members alone, or their names and checksums with them.
    before = 30 + len("f0/ER.png") if whole else 0
    parts = [content[p["offset"] - before : p["offset"] + p["length"]] for p in (first, second)]
    _patch(path, first["offset"] - before, parts[1])
    _patch(path, second["offset"] - before, parts[0])
    with FieldReader(fields) as reader:
        reader.read(1)
        message = "has f2/ER.png" if whole else "CRC-32 of its member f0/ER.png is another"
        with pytest.raises(DataError, match=rf"Field f0, channel ER .*{message}"):
            reader.read(0)


@pytest.mark.parametrize("rows", [(0, 2), (1, 1)])
def test_a_table_that_exchanges_planes_is_noticed(make_manifest, make_row, tmp_path, rows):
    fields = _without_compression(tmp_path / "a.zip", make_manifest, make_row)
    content = fields.table.to_pylist()
    left, right = (content[row]["channels"] for row in rows)
    left[0], right[1] = right[1], left[0]
    changed = FieldTable(
        pa.Table.from_pylist(content, schema=FIELD_SCHEMA),
        fields.manifest,
        tmp_path,
        fields.checksums,
    )
    message = rf"Field f{rows[0]}, channel DNA .* lies where .*ER"
    with FieldReader(changed) as reader, pytest.raises(DataError, match=message):
        reader.read(rows[0])
    content[0]["channels"][0]["offset"] += 3
    changed = FieldTable(
        pa.Table.from_pylist(content, schema=FIELD_SCHEMA),
        fields.manifest,
        tmp_path,
        fields.checksums,
    )
    with FieldReader(changed) as reader, pytest.raises(DataError, match="does not begin where"):
        reader.read(0)


def test_planes_that_fields_share_are_read_for_each(make_manifest, make_row, tmp_path):
    with write_archive(tmp_path / "a.zip", make_manifest()) as archive:
        for i in range(2):
            archive.add(make_row(f"f{i}"), np.full((2, 8, 8), i + 1, np.uint8))
            archive.repeat(make_row(f"g{i}"))
    fields = read_fields(tmp_path / "a.zip")
    chosen = fields.select(["g0", "g1"])
    np.testing.assert_array_equal(read_images(chosen)[:, 0, 0, 0], [1, 2])
    content = chosen.table.to_pylist()
    content[0]["channels"], content[1]["channels"] = (row["channels"] for row in content[::-1])
    changed = FieldTable(
        pa.Table.from_pylist(content, schema=FIELD_SCHEMA),
        fields.manifest,
        tmp_path,
        fields.checksums,
    )
    with pytest.raises(DataError, match=r"Field g0, channel DNA .* lies where .* has f1/DNA.png"):
        read_images(changed)


def test_archives_written_as_a_stream_are_read(make_manifest, make_row, tmp_path):
    """Their checksums stand behind the members."""

    class Stream(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise OSError

        def tell(self):
            raise OSError

    stream = Stream()
    plane = np.full((8, 8), 7, np.uint8)
    with zipfile.ZipFile(stream, "w") as archive:
        for channel in ("DNA", "ER"):
            archive.writestr(f"f0/{channel}.png", encode_png(plane))
    path = tmp_path / "a.zip"
    path.write_bytes(stream.getvalue())
    found = {member.name: member for member in members(path)}
    places = [
        {"file": "a.zip", "offset": m.offset, "length": m.length, "compression": m.compression}
        for m in (found[f"f0/{channel}.png"] for channel in ("DNA", "ER"))
    ]
    row = make_row("f0") | {"height": 8, "width": 8, "channels": places}
    table = pa.Table.from_pylist([dict.fromkeys(FIELD_SCHEMA.names) | row], schema=FIELD_SCHEMA)
    fields = FieldTable(table, make_manifest(), tmp_path)
    np.testing.assert_array_equal(read_images(fields)[0], [plane, plane])
    _patch(path, places[1]["offset"], encode_png(plane + 1))
    with pytest.raises(DataError, match=r"CRC-32 of its member f0/ER\.png is another"):
        read_images(fields)


def test_shortened_archive_is_noticed(make_fields, tmp_path):
    path = tmp_path / "a.zip"
    fields, _ = make_fields(path)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=rf"has {len(content) - 100} bytes.*{len(content)}"):
        read_images(fields)
    with pytest.raises(DataError, match=r"a\.zip"):
        read_fields(path)
    with pytest.raises(DataError, match="truncated"):
        members(path)


@pytest.mark.parametrize("where", ["directory", "end"])
def test_changed_directory_is_noticed(make_fields, tmp_path, where):
    path = tmp_path / "a.zip"
    fields, _ = make_fields(path)
    offset = path.read_bytes().rfind(b"f1/DNA.png" if where == "directory" else b"PK\x05\x06")
    _patch(path, offset, b"g")
    for _ in range(2):  # a reader that refused once must not get used to it
        with FieldReader(fields) as reader:
            for _ in range(2):
                with pytest.raises(DataError, match=r"a\.zip"):
                    reader.read(0)


def test_missing_archive_is_named(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip")
    (tmp_path / "a.zip").unlink()
    with pytest.raises(DataError, match=r"a\.zip cannot be opened"):
        read_images(fields)


def test_renamed_archive_does_not_read_another(make_fields, tmp_path):
    make_fields(tmp_path / "a.zip", seed=0)
    (tmp_path / "a.zip").rename(tmp_path / "b.zip")
    make_fields(tmp_path / "a.zip", seed=1)
    with pytest.raises(DataError, match=r"b\.zip was written as 'a\.zip'"):
        read_fields(tmp_path / "b.zip")


def test_zip_without_a_table_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(DataError, match=r"has no fields\.parquet"):
        read_fields(tmp_path / "a.zip")


def test_size_and_depth_are_those_of_the_table(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", size=(8, 8))
    table = fields.table.set_column(
        FIELD_SCHEMA.get_field_index("width"),
        FIELD_SCHEMA.field("width"),
        pa.array([9] * 4, pa.int32()),
    )
    with pytest.raises(DataError, match=r"channel DNA .* has 8x8 pixels, the field table says 8x9"):
        read_images(FieldTable(table, fields.manifest, fields.folder, fields.checksums))


def test_fields_of_several_sizes_do_not_stack(make_manifest, make_row, tmp_path):
    with write_archive(tmp_path / "a.zip", make_manifest()) as archive:
        for size in (8, 9):
            archive.add(make_row(f"f{size}"), np.zeros((2, size, size), np.uint8))
    with pytest.raises(DataError, match="several sizes"):
        read_images(read_fields(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 8, 8), np.uint16),
        np.zeros((2, 8), np.uint8),
        np.zeros((2, 8, 8), np.float32),
    ],
)
def test_images_that_do_not_fit_the_manifest_leave_no_archive(
    make_manifest, make_row, tmp_path, image
):
    with (
        pytest.raises(DataError, match=r"Field f0 is .* the manifest requires 2 planes of uint8"),
        write_archive(tmp_path / "a.zip", make_manifest()) as archive,
    ):
        archive.add(make_row("f0"), image)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["f0", "../f1", "f 1"])
def test_bad_field_ids_leave_no_archive(make_manifest, make_row, tmp_path, second):
    def write():
        with write_archive(tmp_path / "a.zip", make_manifest()) as archive:
            for field_id in ("f0", second):
                archive.add(make_row(field_id), np.zeros((2, 8, 8), np.uint8))

    with pytest.raises(DataError, match="field"):
        write()
    assert list(tmp_path.iterdir()) == []


def _foreign_fields(path, make_manifest, make_row, compression):
    """An archive that others packed, with a table beside it."""
    images = np.random.default_rng(3).integers(0, 256, (2, 2, 8, 8), dtype=np.uint8)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for i, image in enumerate(images):
            for channel, plane in enumerate(image):
                archive.writestr(f"{i}/{channel}.png", encode_png(plane))
    found = {member.name: member for member in members(path)}
    rows = [
        dict.fromkeys(FIELD_SCHEMA.names)
        | make_row(f"f{i}")
        | {
            "height": 8,
            "width": 8,
            "channels": [
                {
                    "file": path.name,
                    "offset": found[f"{i}/{channel}.png"].offset,
                    "length": found[f"{i}/{channel}.png"].length,
                    "compression": found[f"{i}/{channel}.png"].compression,
                }
                for channel in range(2)
            ],
        }
        for i in range(2)
    ]
    table = pa.Table.from_pylist(rows, schema=FIELD_SCHEMA)
    return FieldTable(table, make_manifest(), path.parent), images


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_others_are_read_in_place(make_manifest, make_row, tmp_path, compression):
    path = tmp_path / "a.zip"
    fields, images = _foreign_fields(path, make_manifest, make_row, compression)
    np.testing.assert_array_equal(read_images(fields), images)
    if compression == zipfile.ZIP_DEFLATED:
        _patch(path, fields.planes()[0][0]["offset"], b"\xff\xff")
        with pytest.raises(DataError, match="Field f0, channel DNA"):
            read_images(fields)


def test_other_compressions_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.png", b"x" * 100)
    with pytest.raises(DataError, match="method 12"):
        members(tmp_path / "a.zip")


def test_member_that_is_not_where_the_directory_says_is_noticed(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"x" * 100)
    entry = path.read_bytes().rfind(b"PK\x01\x02")
    _patch(path, entry + 42, struct.pack("<L", 5))
    with pytest.raises(DataError, match=r"a\.zip"):
        members(path)


def test_planes_may_be_files_of_their_own(make_manifest, make_row, tmp_path):
    images = np.random.default_rng(4).integers(0, 256, (40, 2, 8, 8), dtype=np.uint8)
    rows = []
    for i, image in enumerate(images):
        planes = []
        for channel, plane in enumerate(image):
            name = f"planes/{i}_{channel}.png"
            (tmp_path / "planes").mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(encode_png(plane))
            planes.append({"file": name, "offset": None, "length": None, "compression": None})
        rows.append(
            dict.fromkeys(FIELD_SCHEMA.names)
            | make_row(f"f{i}")
            | {"height": 8, "width": 8, "channels": planes}
        )
    table = pa.Table.from_pylist(rows, schema=FIELD_SCHEMA)
    fields = FieldTable(table, make_manifest(), tmp_path)
    with FieldReader(fields) as reader:
        for row in range(40):
            np.testing.assert_array_equal(reader.read(row), images[row])
        # A screen has more planes than a process may have open files.
        assert reader._files == {}
        (tmp_path / "planes/3_1.png").unlink()
        with pytest.raises(DataError, match=r"Field f3, channel ER \(.*3_1\.png\) cannot be read"):
            reader.read(3)


def test_writer_that_is_killed_leaves_no_archive(run_python, tmp_path):
    process = run_python(
        """
        import sys
        import time
        import numpy as np
        from morphpipe.tables.archive import write_archive
        from morphpipe.tables.manifest import Channel, ChannelManifest

        manifest = ChannelManifest((Channel("DNA", ""),), None, 8, None, "MIT", "zeros")
        with write_archive(sys.argv[1], manifest) as archive:
            for number in range(1000):
                row = {"field_id": f"f{number}", "dataset": "d", "origin": "real"}
                archive.add(row, np.zeros((1, 64, 64), np.uint8))
                print(number, flush=True)
                if number == 3:
                    time.sleep(60)
        """,
        tmp_path / "a.zip",
    )
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.zip").exists()
    assert all(".partial" in path.name for path in tmp_path.iterdir())


def test_pipes_in_the_place_of_archives_are_not_waited_for(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", 1)
    (tmp_path / "a.zip").unlink()
    os.mkfifo(tmp_path / "a.zip")
    with FieldReader(fields) as reader, pytest.raises(DataError, match=r"a\.zip.* is not a file"):
        reader.open_archives()
