"""Encode and decode single planes as PNG, with all checks that the format allows."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morphpipe.core.errors import DataError

_HEADER = struct.Struct(">2L5B")
# Adam7's seven passes: first column and row, and steps.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def encode_png(plane: NDArray[Any]) -> bytes:
    """PNG bytes of one plane, uint8 or uint16 [H, W]."""
    buffer = io.BytesIO()
    Image.fromarray(plane).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def check_png(data: bytes) -> None:
    """Verify the checksums of all chunks: Pillow skips those of the pixels and later ones.

    Raises
    ------
    ValueError
        If a checksum is wrong or the last chunk is missing.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("not a PNG file")
    at, kind = 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 8 + length
        if len(data) < end + 4:
            raise ValueError("it ends early")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError(f"wrong checksum of the chunk {kind.decode('latin-1')}")
        at = end + 4


def _check_rows(data: bytes) -> None:
    """Compare the number of decompressed bytes with the header of a PNG.

    Raises
    ------
    ValueError
        If rows are missing, which Pillow leaves black.
    """
    at, pixels = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IHDR":
            width, height, depth, _, _, _, interlaced = _HEADER.unpack_from(data, at + 8)
        elif data[at + 4 : at + 8] == b"IDAT":
            pixels.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    expected = 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        # A row has an extra byte for its filter; a pass without columns has no rows.
        expected += rows * (1 + -(-columns * depth // 8)) if min(columns, rows) > 0 else 0
    found = len(zlib.decompressobj().decompress(b"".join(pixels), expected))
    if found < expected:
        raise ValueError(f"{found} of {expected} bytes of its rows are there")


def decode_plane(data: bytes, place: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """Decode one grey plane, verifying checksums and the number of rows.

    Parameters
    ----------
    data
        PNG.
    place
        Name of the plane, for messages.
    size
        Expected height and width, checked before decompression.

    Raises
    ------
    DataError
        If the bytes are truncated or damaged, or the plane is not grey, of another size or too
        large.
    """
    try:
        check_png(data)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode not in ("L", "I;16"):
                raise DataError(f"{place} is not a grey 8- or 16-bit plane (mode {image.mode}).")
            if size is not None and (image.height, image.width) != size:
                raise DataError(
                    f"{place} has {image.height}x{image.width} pixels, the field table says "
                    f"{size[0]}x{size[1]}."
                )
            plane = np.asarray(image)
            # A second decompression takes another third of the time: only if necessary.
            if not plane[-1].any() or image.info.get("interlace"):
                _check_rows(data)
            return plane
    except Image.DecompressionBombError as error:
        raise DataError(f"{place} is no plane of a microscope ({error}).") from None
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise DataError(f"{place} cannot be decoded ({error}): the file is damaged.") from None
