"""Validation of raw plane files (sizes, pages, encoding) before decoding."""

import math
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from morphpipe.core.errors import DataError

# `!` is special after `.zip` only, and `#` before a final number only: names may contain both.
_LOCATION = re.compile(
    r"(?:(?P<archive>.+?\.zip)!)?(?P<name>.+?)(?:#(?P<page>[0-9]+))?", re.IGNORECASE
)
TIFF = (".tif", ".tiff")
PNG = ".png"
_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
# Limits for microscope planes, against decompression bombs.
_LARGEST_PLANE = 1 << 28
DEFLATED = (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
# Compressions with a bounded ratio, or decoded strip by strip by libtiff.
_COMPRESSIONS = (COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.PACKBITS, *DEFLATED)
_ORIENTATION = 274
# Inverse of Pillow's transformation for each orientation.
_UNTURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


@dataclass(frozen=True)
class RawPlane:
    """Location of a raw plane.

    Attributes
    ----------
    file
        The image, or the zip that contains it; relative to the sheet's folder, or absolute.
    member
        The image's name inside the zip, or None.
    page
        Page of a multi-page TIFF, from 0, or None.
    """

    file: str
    member: str | None
    page: int | None

    @property
    def image(self) -> str:
        """Name of the image file or zip member."""
        return self.file if self.member is None else self.member


def parse_location(text: str) -> RawPlane:
    """Read a location: `file`, `file#page`, `archive.zip!member` or `archive.zip!member#page`.

    Raises
    ------
    DataError
        If the text does not name a TIFF or a PNG in this form.
    """
    match = _LOCATION.fullmatch(text)
    if match is None or text != text.strip() or not text.isprintable():
        raise DataError(f"{text!r} is not the location of an image: name a file.")
    if "://" in text or "\\" in text:
        raise DataError(
            f"{text!r} is not the location of a local image: name a file with / between folders, "
            "relative to the sheet; what lies on a server has to be fetched first."
        )
    archive, name, page = match["archive"], match["name"], match["page"]
    suffix = Path(name).suffix.lower()
    if suffix not in (*TIFF, PNG):
        raise DataError(
            f"{text!r} names neither a TIFF nor a PNG: a location is file, file#page, "
            "archive.zip!member or archive.zip!member#page, with pages counted from 0."
        )
    if suffix == PNG and page is not None:
        raise DataError(f"{text!r} names a page of a PNG: only a TIFF has pages.")
    number = None if page is None else int(page)
    return RawPlane(name, None, number) if archive is None else RawPlane(archive, name, number)


def size_of_file(path: Path, where: str) -> int:
    """Return the size of a file; rejects pipes and devices, which may block or never end."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{where}: {path} cannot be opened ({error.strerror}).") from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{where}: {path} is a folder, a pipe or a device, not a file.")
    return status.st_size


def png_shape(stream: IO[bytes], where: str) -> tuple[int, int, np.dtype[Any]]:
    """Read height, width and pixel type from a PNG's header."""
    try:
        with Image.open(stream, formats=["PNG"]) as image:
            if image.mode not in ("L", "I;16"):
                raise DataError(f"{where} is not a grey 8- or 16-bit plane (mode {image.mode}).")
            return image.height, image.width, _TYPES[image.mode == "I;16"]
    except Image.DecompressionBombError as error:
        raise DataError(f"{where} is no plane of a microscope ({error}).") from None
    except (*ZIP_ERRORS, SyntaxError, ValueError) as error:
        raise DataError(f"{where} cannot be read as PNG ({error}): it is damaged.") from None


@contextmanager
def tiff_page(
    stream: IO[bytes], size: int, plane: RawPlane, where: str
) -> Iterator[tuple[TiffPage, int, np.dtype[Any]]]:
    """Yield the validated page of a location, its number and pixel type."""
    try:
        with TiffFile(stream) as tiff:
            pages = len(tiff.pages)
            stream.seek(tiff.pages.next_page_offset or 0)
            if stream.read(tiff.tiff.offsetsize) != bytes(tiff.tiff.offsetsize):
                raise DataError(f"{where} is damaged: it ends before its last page.")
            if plane.page is None and pages > 1:
                raise DataError(
                    f"{where} has {pages} pages: add #0 to #{pages - 1} to say which is meant."
                )
            # Large ImageJ stacks have one page, which describes the first slice only.
            slices = int((tiff.imagej_metadata or {}).get("images", 1))
            if slices > pages:
                raise DataError(
                    f"{where} holds {slices} slices behind {pages} page, as ImageJ writes stacks: "
                    "save them as single planes, or as OME-TIFF."
                )
            index = plane.page or 0
            if index >= pages:
                raise DataError(
                    f"{where} has no page {index}: the file has {pages}, counted from 0."
                )
            page = tiff.pages[index].aspage()
            yield page, index, _check_page(page, size, where)
    except DataError:
        raise
    except Exception as error:  # tifffile raises any exception on damaged files
        raise DataError(
            f"{where} cannot be decoded as TIFF ({error}): the file is cut short or damaged, or "
            "is compressed in an unknown way."
        ) from None


def _check_page(page: TiffPage, size: int, where: str) -> np.dtype[Any]:
    """Pixel type of a page; rejects pages that are not grey or not completely inside the file.

    tifffile silently fills missing strips and tiles with zeros.
    """
    if page.samplesperpixel != 1 or page.photometric == PHOTOMETRIC.PALETTE:
        raise DataError(
            f"{where} is a colour image: export the channels as single grey planes instead."
        )
    if page.photometric != PHOTOMETRIC.MINISBLACK:
        raise DataError(
            f"{where} is stored with white as zero, or in another way that is not plain grey "
            f"(photometric interpretation {int(page.photometric)}): export it again as grey."
        )
    kind = None if page.dtype is None else page.dtype.newbyteorder("=")
    if kind not in _TYPES or kind is None or len(page.shape) != 2:
        raise DataError(
            f"{where} is a plane of type {page.dtype} and shape {list(page.shape)}; "
            "8- or 16-bit unsigned planes of two dimensions can be read."
        )
    if page.bitspersample != 8 * kind.itemsize:
        raise DataError(
            f"{where} has {page.bitspersample} bits a pixel, packed into bytes: export it with 8 "
            "or 16."
        )
    if math.prod(page.shape) > _LARGEST_PLANE:
        raise DataError(
            f"{where} has {page.shape[0]}x{page.shape[1]} pixels: planes up to "
            f"{_LARGEST_PLANE // 10**6} megapixels can be read."
        )
    if page.compression not in _COMPRESSIONS:
        raise DataError(
            f"{where} is compressed in an unknown way ({page.compression}): export it uncompressed "
            "or with LZW or deflate."
        )
    offsets, lengths = page.dataoffsets, page.databytecounts
    expected = math.prod(page.chunked)
    missing = (
        len(offsets) != expected
        or len(lengths) != expected
        or min(offsets) == 0
        or min(lengths) == 0
        or max(o + n for o, n in zip(offsets, lengths, strict=True)) > size
    )
    if missing or (page.compression == COMPRESSION.NONE and sum(lengths) < page.nbytes):
        raise DataError(f"{where} is cut short or damaged: pixels that its header names are gone.")
    return kind


def check_deflated(stream: IO[bytes], page: TiffPage, where: str) -> None:
    """Reject strips or tiles that decompress to more than their header says, unlike tifffile."""
    announced = math.prod(page.chunks) * page.bitspersample // 8
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        stream.seek(offset)
        unpacking = zlib.decompressobj()
        unpacking.decompress(stream.read(length), announced)
        if not unpacking.eof and unpacking.decompress(unpacking.unconsumed_tail, 1):
            raise DataError(f"{where} is damaged: it unpacks to more pixels than its header names.")


def decode_with_pillow(stream: IO[bytes], index: int) -> NDArray[Any]:
    """Decode pixels as stored: unlike tifffile, Pillow applies the orientation tag."""
    stream.seek(0)
    with Image.open(stream, formats=["TIFF"]) as image:
        image.seek(index)
        turned = _UNTURN.get(image.getexif().get(_ORIENTATION, 1))
        image.load()
        return np.asarray(image if turned is None else image.transpose(turned))
