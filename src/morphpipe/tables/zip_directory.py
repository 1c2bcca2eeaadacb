"""Directories of zip archives: offsets of members, and detection of changes."""

import hashlib
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from morphpipe.core.errors import DataError

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
# End records of an archive (PKWARE's APPNOTE, 4.3.14 to 4.3.16): the common one, and the pair that
# replaces it above 65,535 members or 4 GB.
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_COMMENT = 65_535
# Exceptions of zipfile for damaged archives.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_BY_DESCRIPTOR = 1 << 3
# Bytes read before and after a member: its local header and descriptor.
BEFORE, BEHIND = 1024, 8
_COMPRESSION = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


@dataclass(frozen=True)
class ArchiveChecksum:
    """State of an archive when its directory was read.

    Attributes
    ----------
    file
        Path relative to the folder of the field table.
    size
        Bytes.
    directory_sha256
        SHA-256 of the central directory.
    members
        Pattern of plane names in a third-party archive, such as
        "{batch}/{well}_s{site}_w{channel}.png", with columns of the field table and the channel's
        number from 1. None for an image archive, which contains a table.
    """

    file: str
    size: int
    directory_sha256: str
    members: str | None = None


@dataclass(frozen=True)
class Member:
    """Location of a member's bytes in an archive."""

    name: str
    offset: int
    length: int
    compression: str
    size: int


def relative_to(path: Path, folder: Path) -> str:
    """Express `path` relative to `folder`, with forward slashes, without resolving links."""
    return Path(os.path.relpath(path, folder)).as_posix()


def find_directory(stream: BinaryIO, *, at_the_end: bool = False) -> int | None:
    """Find the start of an archive's directory, or None if the file does not end like an archive.

    Parameters
    ----------
    stream
        The archive.
    at_the_end
        Require that nothing follows the end record, which could belong to a nested archive.
    """
    size = stream.seek(0, os.SEEK_END)
    tail_start = max(size - _LONGEST_COMMENT - _END.size - _END64_LOCATOR.size - _END64.size, 0)
    stream.seek(tail_start)
    tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < _END.size:
        return None
    fields = _END.unpack_from(tail, end)
    if at_the_end and end + _END.size + fields[7] != len(tail):
        return None
    directory_end, length = end, fields[5]
    locator = end - _END64_LOCATOR.size
    end64 = locator - _END64.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator) and end64 >= 0:
        directory_end, length = end64, _END64.unpack_from(tail, end64)[8]
    if length > tail_start + directory_end:
        return None
    return tail_start + directory_end - int(length)


def local_member(before: bytes, behind: bytes) -> tuple[str, int] | None:
    """Parse name and CRC-32 of a member from the surrounding bytes.

    Parameters
    ----------
    before
        Up to `BEFORE` bytes before the member's bytes.
    behind
        Up to `BEHIND` bytes after them.

    Returns
    -------
    tuple or None
        None if no member starts after `before`.
    """
    at = before.rfind(b"PK\x03\x04")
    while at >= 0:
        if at + _LOCAL_HEADER.size <= len(before):
            header = _LOCAL_HEADER.unpack_from(before, at)
            start = at + _LOCAL_HEADER.size
            if start + header[9] + header[10] == len(before):
                name = before[start : start + header[9]].decode("utf-8", "replace")
                if not header[2] & _BY_DESCRIPTOR:
                    return name, int(header[6])
                # Streamed: the checksum follows, usually after a signature.
                at_sum = 4 if behind.startswith(b"PK\x07\x08") else 0
                return name, int.from_bytes(behind[at_sum : at_sum + 4], "little")
        at = before.rfind(b"PK\x03\x04", 0, at)
    return None


def directory_start(path: Path) -> int:
    """Return the start of an archive's directory.

    Read from the end of the file: `zipfile` would parse every entry, taking 5 s and 0.5 GB for
    RxRx1's archive.

    Raises
    ------
    DataError
        If the file does not end like a zip archive.
    """
    with open(path, "rb") as stream:
        start = find_directory(stream)
    if start is not None:
        return start
    raise DataError(
        f"{path} does not end like a zip archive: it may be truncated. If it is your own file, "
        "restore it; otherwise delete it and rerun the workflow."
    )


def archive_checksum(path: Path, folder: Path) -> ArchiveChecksum:
    """Record the size of an archive and the hash of its directory, to detect later changes.

    Raises
    ------
    DataError
        If the file does not end like a zip archive.
    """
    start = directory_start(path)
    with open(path, "rb") as stream:
        stream.seek(start)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return ArchiveChecksum(relative_to(path, folder), stream.tell(), digest)


def members(path: Path) -> list[Member]:
    """List all members of an archive with the location of their bytes.

    Offsets follow the local headers, whose lengths only the headers contain; these are read in file
    order, in one pass.

    Raises
    ------
    DataError
        If the file is not a zip archive, is truncated, or uses an unknown compression.
    """
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
            found = []
            for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
                if entry.is_dir():
                    continue
                if entry.compress_type not in _COMPRESSION:
                    raise DataError(
                        f"{path}: {entry.filename} is compressed by method "
                        f"{entry.compress_type}; stored and deflated members can be read."
                    )
                stream.seek(entry.header_offset)
                header = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
                if header[0] != b"PK\x03\x04":
                    raise zipfile.BadZipFile(f"no member where {entry.filename} should begin")
                start = entry.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
                found.append(
                    Member(
                        entry.filename,
                        start,
                        entry.compress_size,
                        _COMPRESSION[entry.compress_type],
                        entry.file_size,
                    )
                )
            return found
    except ZIP_ERRORS as error:
        raise DataError(
            f"{path} cannot be read as a zip archive ({error}): it may be truncated. If it is "
            "your own file, restore it; otherwise delete it and rerun the workflow."
        ) from None
