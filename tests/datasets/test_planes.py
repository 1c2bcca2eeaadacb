import io
import logging
import os
import struct
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.plane_files import RawPlane, parse_location
from morphpipe.datasets.preparation.planes import PlaneReader
from morphpipe.tables.png import encode_png

logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def _plane(kind=np.uint16, shape=(24, 17), seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, dtype=kind)


def _tiff(image, **settings):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, metadata=None, **settings)
    return buffer.getvalue()


def _lzw(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "TIFF", compression="tiff_lzw")
    return buffer.getvalue()


def _pages(*images, **settings):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for image in images:
            writer.write(image, contiguous=False, metadata=None, **settings)
    return buffer.getvalue()


ENCODERS = {
    "uncompressed": lambda image: _tiff(image, rowsperstrip=5),
    "big-endian": lambda image: _tiff(image, byteorder=">"),
    "tiled": lambda image: _tiff(image, tile=(16, 16)),
    "deflate": lambda image: _tiff(image, compression="zlib", rowsperstrip=5),
    "deflate-predictor": lambda image: _tiff(image, compression="zlib", predictor=True),
    "BigTIFF": lambda image: _tiff(image, bigtiff=True),
    "LZW": _lzw,
}


@pytest.fixture
def reader(tmp_path):
    with PlaneReader(tmp_path) as reader:
        yield reader


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plate1/r01c01-ch1.tiff", RawPlane("plate1/r01c01-ch1.tiff", None, None)),
        ("plate1/field.ome.tiff#2", RawPlane("plate1/field.ome.tiff", None, 2)),
        ("W.zip!W/x_w1.tif", RawPlane("W.zip", "W/x_w1.tif", None)),
        ("/data/W.ZIP!x.TIF#0", RawPlane("/data/W.ZIP", "x.TIF", 0)),
        ("we!rd/plate #1/a.png", RawPlane("we!rd/plate #1/a.png", None, None)),
    ],
)
def test_locations(text, expected):
    assert parse_location(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " a.tif", "a.tif\n", "a", "a.jpg", "a.zip", "a.zip!", "a.zip!b", "!b.tif#", "a.tif#two",
     "a.tif#-1", "a.tif!b", "a.png#0", "https://host/a.tif", "plate\\a.tif", "#1"],
)  # fmt: skip
def test_nonsense_is_no_location(text):
    with pytest.raises(DataError):
        parse_location(text)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ENCODERS)
def test_tiff(reader, tmp_path, name, kind):
    image = _plane(kind)
    (tmp_path / "a.tif").write_bytes(ENCODERS[name](image))
    read = reader.read("a.tif", "plane")
    assert read.dtype == kind
    np.testing.assert_array_equal(read, image)
    assert reader.shape("a.tif", "plane") == (24, 17, np.dtype(kind))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_png_and_zip_members(reader, tmp_path, kind):
    image = _plane(kind)
    (tmp_path / "a.png").write_bytes(encode_png(image))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.png", encode_png(image))
        archive.writestr("in/a.tif", _pages(image, image + 1))
    for location in ("a.png", "b.zip!in/a.png", "b.zip!in/a.tif#0"):
        np.testing.assert_array_equal(reader.read(location, "plane"), image)
        assert reader.shape(location, "plane") == (24, 17, np.dtype(kind))
    np.testing.assert_array_equal(reader.read("b.zip!in/a.tif#1", "plane"), image + 1)


def test_pages_of_multi_page_and_ome_tiff(reader, tmp_path):
    images = [_plane(seed=i) for i in range(3)]
    (tmp_path / "a.tif").write_bytes(_pages(*images))
    tifffile.imwrite(
        tmp_path / "a.ome.tiff", np.stack(images), photometric="minisblack",
        metadata={"axes": "CYX"},
    )  # fmt: skip
    for name in ("a.tif", "a.ome.tiff"):
        for i, image in enumerate(images):
            np.testing.assert_array_equal(reader.read(f"{name}#{i}", "plane"), image)
        with pytest.raises(DataError, match=r"field 7 \(.*has 3 pages: add #0 to #2"):
            reader.read(name, "field 7")
        with pytest.raises(DataError, match="no page 3: the file has 3"):
            reader.read(f"{name}#3", "plane")


@pytest.mark.parametrize("name", [*ENCODERS, "png"])
def test_cut_anywhere_is_noticed(reader, tmp_path, name):
    data = encode_png(_plane()) if name == "png" else ENCODERS[name](_plane())
    file = "a.png" if name == "png" else "a.tif"
    for cut in [*range(0, len(data), 13), len(data) - 1]:
        (tmp_path / file).write_bytes(data[:cut])
        with pytest.raises(DataError, match=rf"plane 5 \({file}\)"):
            reader.read(file, "plane 5")


def test_cut_of_several_pages_spares_at_most_the_first(reader, tmp_path):
    image = _plane()
    data = _pages(image, image + 1)
    spared = 0
    for cut in [*range(0, len(data), 13), len(data) - 1]:
        (tmp_path / "a.tif").write_bytes(data[:cut])
        for location in ("a.tif", "a.tif#1"):
            with pytest.raises(DataError):
                reader.read(location, "plane")
        try:
            read = reader.read("a.tif#0", "plane")
        except DataError:
            continue
        spared += 1
        np.testing.assert_array_equal(read, image)
    assert spared < len(data) / 13 / 2 + 1


def test_strip_without_bytes_is_not_filled_with_zeros(reader, tmp_path):
    image = _plane(shape=(20, 16))
    data = bytearray(_tiff(image, rowsperstrip=5))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
        size = 2 if tag.dtype == tifffile.DATATYPE.SHORT else 4
    data[tag.valueoffset + size : tag.valueoffset + 2 * size] = bytes(size)
    # What this guards against: tifffile alone gives a quarter of zeros and no error.
    assert (tifffile.imread(io.BytesIO(data))[5:10] == 0).all()
    (tmp_path / "a.tif").write_bytes(data)
    for method in (reader.read, reader.shape):
        with pytest.raises(DataError, match="cut short or damaged"):
            method("a.tif", "plane")


def test_header_alone_shows_a_cut(reader, tmp_path):
    (tmp_path / "a.tif").write_bytes(_tiff(_plane())[:-1])
    with pytest.raises(DataError, match=r"plane \(a.tif\) is cut short"):
        reader.shape("a.tif", "plane")


def test_flipped_bits_of_deflated_pixels_are_noticed(reader, tmp_path):
    data = _tiff(_plane(), compression="zlib")
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        start, length = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    for at in range(start, start + length, 17):
        damaged = bytearray(data)
        damaged[at] ^= 8
        (tmp_path / "a.tif").write_bytes(damaged)
        with pytest.raises(DataError):
            reader.read("a.tif", "plane")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_tiff(np.zeros((8, 9, 3), np.uint8), photometric="rgb"), "colour"),
        (_tiff(np.zeros((8, 9), np.uint8), photometric="miniswhite"), "white as zero"),
        (_tiff(np.zeros((8, 9), np.uint8), photometric="palette",
               colormap=np.zeros((3, 256), np.uint16)), "colour"),
        (_tiff(np.zeros((8, 9), np.float32)), "type float32"),
        (_tiff(np.zeros((8, 9), np.int16)), "type int16"),
        (_tiff(np.zeros((8, 9), np.uint32)), "type uint32"),
        (b"", "cannot be decoded as TIFF"),
        (b"GIF89a" * 20, "cannot be decoded as TIFF"),
    ],
)  # fmt: skip
def test_other_images_are_refused(reader, tmp_path, data, message):
    (tmp_path / "a.tif").write_bytes(data)
    for method in (reader.read, reader.shape):
        with pytest.raises(DataError, match=message):
            method("a.tif", "plane")


def test_colour_png_is_refused(reader, tmp_path):
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "a.png")
    for method in (reader.read, reader.shape):
        with pytest.raises(DataError, match="not a grey 8- or 16-bit plane"):
            method("a.png", "plane")


def test_what_is_missing_is_named(reader, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.tif", _tiff(_plane()))
    (tmp_path / "no.zip").write_bytes(b"nothing")
    for location, message in (
        ("b.tif", "cannot be opened"),
        ("b.zip!x.tif", "cannot be opened as a zip"),
        ("no.zip!x.tif", "cannot be opened as a zip"),
        ("a.zip!y.tif", "holds no member y.tif"),
    ):
        with pytest.raises(DataError, match=rf"field 7 \({location}\).*{message}"):
            reader.read(location, "field 7")


def test_wrong_checksum_in_a_zip(reader, tmp_path):
    image = _plane()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.tif", _tiff(image))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.find(image.astype("<u2").tobytes()[:40])
    assert at > 0
    data[at + 3] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"damaged inside the archive .*CRC"):
        reader.read("a.zip!x.tif", "plane")


def test_real_planes(mirror):
    plates = mirror / "plates"
    files = sorted(path.relative_to(plates).as_posix() for path in plates.rglob("*.tif*"))
    assert len(files) == 16
    with PlaneReader(plates) as reader:
        for file in files:
            with Image.open(plates / file) as image:
                expected = np.asarray(image)
            np.testing.assert_array_equal(reader.read(file, file), expected)
            assert reader.shape(file, file) == (*expected.shape, np.dtype(np.uint16))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planes_are_read_as_they_are_stored_whatever_their_orientation(
    reader, tmp_path, orientation
):
    image = _plane()
    (tmp_path / "plain.tif").write_bytes(_tiff(image, extratags=[(274, 3, 1, orientation, True)]))
    Image.fromarray(image).save(
        tmp_path / "lzw.tif", compression="tiff_lzw", tiffinfo={274: orientation}
    )
    for name in ("plain.tif", "lzw.tif"):
        np.testing.assert_array_equal(reader.read(name, "here"), image)
        assert reader.shape(name, "here")[:2] == image.shape


def test_slices_behind_one_page_are_not_dropped(reader, tmp_path):
    slices = [_plane(seed=seed) for seed in range(3)]
    description = "ImageJ=1.54f\nimages=3\nslices=3\n"
    data = _tiff(slices[0], description=description)
    (tmp_path / "s.tif").write_bytes(data + slices[1].tobytes() + slices[2].tobytes())
    for ask in (reader.read, reader.shape):
        with pytest.raises(DataError, match="3 slices behind 1 page, as ImageJ writes"):
            ask("s.tif", "here")


def test_packed_bits_are_named(reader, tmp_path):
    tags = [(256, 4, 64), (257, 4, 64), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, 64), (279, 4, 64 * 96)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    header = struct.pack("<2sHI", b"II", 42, 8 + 64 * 96)
    (tmp_path / "p.tif").write_bytes(header + bytes(64 * 96) + directory)
    with pytest.raises(DataError, match="has 12 bits a pixel, packed into bytes"):
        reader.read("p.tif", "here")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.zip!a.png"])
def test_pipes_and_devices_are_not_opened(reader, tmp_path, name):
    file = tmp_path / name.partition("!")[0]
    os.mkfifo(file)
    for _ in range(2):
        for read in (reader.read, reader.shape):
            with pytest.raises(DataError, match="is a folder, a pipe or a device, not a file"):
                read(name, "field 7")
        file.unlink()
        file.symlink_to("/dev/zero")


def test_functions_from_devices(reader, tmp_path):
    (tmp_path / "f.npy").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a folder, a pipe or a device"):
        reader.read_array("f.npy", "function of DNA")


def test_large_files_are_not_read_whole(reader, tmp_path):
    for name in ("a.png", "f.npy"):
        with open(tmp_path / name, "wb") as stream:
            stream.truncate(1 << 32)
    with pytest.raises(DataError, match=r"has 4\.3 GB; files up to 2\.1 GB"):
        reader.read("a.png", "field 7")
    with pytest.raises(DataError, match=r"has 4\.3 GB; files up to 2\.1 GB"):
        reader.read_array("f.npy", "function of DNA")
