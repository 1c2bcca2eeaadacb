"""Check downloaded files against the type in their name, and for truncation.

Types that encode their length are compared with the file size, so that truncation is detected even
if the server did not announce the length.
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

import numpy as np

from morphpipe.core.json_files import LARGEST as _LARGEST_JSON
from morphpipe.core.json_files import parse_json
from morphpipe.tables.png import check_png
from morphpipe.tables.zip_directory import find_directory

# Tables of plates and genes have a few megabytes.
_LARGEST_TABLE = 1 << 30
_LARGEST_HEADER = 100_000_000
_START = 1 << 16
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<\?xml|<error)", re.IGNORECASE)
_PAGES = (".html", ".htm", ".xml", ".svg", ".ome")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

Whole = Literal["proven", "likely", "open"]


class WrongKindError(ValueError):
    """The file is not of the type in its name; the message is a clause about it."""


class CutShortError(ValueError):
    """The file has the right type but is truncated; the message is a clause about it."""


def check_kind(stream: BinaryIO, *names: str) -> Whole:
    """Check a file against the type in its name.

    Parameters
    ----------
    stream
        The file, seekable.
    names
        Its names or addresses; the first with a known suffix counts.

    Returns
    -------
    str
        `proven` if the file itself shows that it is complete, `likely` for a text that ends with a
        newline, `open` if unknown.

    Raises
    ------
    WrongKindError
        If it is empty, an error page, or another type of file.
    CutShortError
        If it is truncated.
    """
    size = stream.seek(0, os.SEEK_END)
    if not size:
        raise WrongKindError("it is empty")
    start = _at(stream, 0, _START)
    # Compressed tables count as tables.
    plain = [PurePosixPath(re.sub(r"(?<=[ct]sv)\.gz$", "", name.lower())) for name in names]
    suffixes = [name.suffix for name in plain]
    for suffix in suffixes:
        if suffix in _CHECKS:
            return _CHECKS[suffix](stream, size, start)
    if _PAGE.match(start) and not set(_PAGES) & set(suffixes):
        raise WrongKindError("it is a web page or a message of the server")
    return "open"


def _at(stream: BinaryIO, place: int, size: int) -> bytes:
    stream.seek(place)
    return stream.read(size)


def _must_begin(start: bytes, signatures: tuple[bytes, ...], kind: str) -> None:
    if not start.startswith(signatures):
        page = ", but a web page or a message of the server" if _PAGE.match(start) else ""
        raise WrongKindError(f"it is not a {kind}{page}")


def _zip(stream: BinaryIO, size: int, start: bytes) -> Whole:
    _must_begin(start, (b"PK\x03\x04", b"PK\x05\x06"), "zip archive")
    directory = find_directory(stream, at_the_end=True)
    if directory is None:
        raise CutShortError("it has no directory, with which a zip archive ends")
    if not _at(stream, directory, 4).startswith((b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06")):
        raise CutShortError("its directory is not where its end says")
    return "proven"


def _png(stream: BinaryIO, size: int, start: bytes) -> Whole:
    _must_begin(start, (b"\x89PNG\r\n\x1a\n",), "PNG image")
    try:
        check_png(_at(stream, 0, size))
    except ValueError as error:
        raise CutShortError(str(error)) from None
    return "proven"


def _tiff(stream: BinaryIO, size: int, start: bytes) -> Whole:
    from tifffile import TiffFile

    _must_begin(start, _TIFF, "TIFF image")
    stream.seek(0)
    try:
        with TiffFile(stream) as tiff:
            pages = [page.aspage() for page in tiff.pages]
            ends = [
                offset + length
                for page in pages
                for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True)
            ]
    except Exception as error:  # tifffile raises any exception on damaged files
        raise CutShortError(f"its pages cannot be read ({error})") from None
    if not ends or max(ends) > size:
        raise CutShortError("it ends before its pixels do")
    return "proven"


def _npy(stream: BinaryIO, size: int, start: bytes) -> Whole:
    _must_begin(start, (b"\x93NUMPY",), "NumPy file")
    header = io.BytesIO(start)
    read = np.lib.format.read_array_header_1_0
    try:
        if np.lib.format.read_magic(header) != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, kind = read(header)
    except (ValueError, EOFError) as error:
        raise CutShortError(f"its header cannot be read ({error})") from None
    needed = header.tell() + kind.itemsize * int(np.prod(shape, dtype=object))
    if size < needed:
        raise CutShortError(f"it has {size} bytes, its header says {needed}")
    return "proven"


def _weights(stream: BinaryIO, size: int, start: bytes) -> Whole:
    """Safetensors or a pickle, under either name."""
    if start.startswith(b"PK\x03\x04") and start[8:9] != b"{":
        return _zip(stream, size, start)
    if start.startswith(b"\x80") and start[8:9] != b"{":
        return "open"
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{" or length > _LARGEST_HEADER:
        _must_begin(start, (b"PK\x03\x04", b"\x80"), "file of weights (safetensors or PyTorch)")
    if 8 + length > size:
        raise CutShortError("it ends inside its header")
    try:
        header = parse_json(_at(stream, 8, length))
        needed = max(
            (entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"),
            default=0,
        )
        needed = 8 + length + int(needed)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise WrongKindError(f"its header is none of safetensors ({error!r})") from None
    if size != needed:
        raise CutShortError(f"it has {size} bytes, its header says {needed}")
    return "proven"


def _json(stream: BinaryIO, size: int, start: bytes) -> Whole:
    if _PAGE.match(start):
        raise WrongKindError("it is not JSON, but a web page or a message of the server")
    if size > _LARGEST_JSON:
        raise WrongKindError(f"it has {size >> 20} MB, too much for a JSON file")
    try:
        content = parse_json(_at(stream, 0, size))
    except ValueError as error:
        fault = CutShortError if start.lstrip()[:1] in (b"{", b"[") else WrongKindError
        raise fault(f"it cannot be read as JSON ({error})") from None
    return "proven" if isinstance(content, dict | list) else "likely"


def _table(stream: BinaryIO, size: int, start: bytes) -> Whole:
    """CSV, plain or compressed, or Parquet, whatever the suffix."""
    if start.startswith(b"PAR1"):
        return _parquet(stream, size, start)
    if start.startswith(b"\x1f\x8b"):
        return _gzipped_table(stream)
    _check_text(start)
    # In UTF-16 a zero byte may follow the newline.
    end = _at(stream, max(size - 2, 0), 2).rstrip(b"\0")
    return "likely" if end.endswith((b"\n", b"\r")) else "open"


def _check_text(start: bytes) -> None:
    text = start
    if start.startswith(_UTF16):
        text = start.decode("utf-16", "ignore").encode()
    elif b"\0" in start:
        raise WrongKindError("it is not text and thus not a CSV table")
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<", b"{")):
        raise WrongKindError("it is not a CSV table, but a web page or a message of the server")
    if not re.search(rb"[,;\t|]", text):
        raise WrongKindError("it is not a CSV table: its first lines have no separator")


def _parquet(stream: BinaryIO, size: int, start: bytes) -> Whole:
    _must_begin(start, (b"PAR1",), "Parquet file")
    if size < 12 or _at(stream, size - 4, 4) != b"PAR1":
        raise CutShortError("it has no footer, with which a Parquet file ends")
    return "proven"


def _gzipped_table(stream: BinaryIO) -> Whole:
    stream.seek(0)
    unpacked = 0
    try:
        with gzip.GzipFile(fileobj=stream) as content:
            while piece := content.read(_START):
                if not unpacked:
                    _check_text(piece)
                unpacked += len(piece)
                if unpacked > _LARGEST_TABLE:
                    raise WrongKindError(
                        f"it unpacks to more than {_LARGEST_TABLE >> 30} GB, too much for a table"
                    )
    except EOFError:
        raise CutShortError("it ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise CutShortError(f"it cannot be unpacked ({error})") from None
    return "proven"


_CHECKS: dict[str, Callable[[BinaryIO, int, bytes], Whole]] = {
    ".zip": _zip,
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".npy": _npy,
    ".safetensors": _weights,
    ".pt": _weights,
    ".pth": _weights,
    ".ckpt": _weights,
    ".json": _json,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _parquet,
}
