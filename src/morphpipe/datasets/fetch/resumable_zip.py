"""A zip archive that is written member by member and survives interruption at any byte."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from morphpipe.core.errors import DataError

# Local file header (PKWARE's APPNOTE, 4.3.7).
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"


def check_member_name(name: str) -> None:
    """Reject a member that would be extracted outside the target folder.

    Raises
    ------
    DataError
        If the name is absolute, contains `..`, or is not printable.
    """
    parts = name.replace("\\", "/").split("/")
    if not name.isprintable() or "" in parts or ".." in parts or ":" in parts[0]:
        raise DataError(
            f"{name!r} is not a valid member name: it points outside the folder that the archive "
            "would be extracted to. Set another source in the configuration."
        )


def is_intact(data: bytes | memoryview, *, method: int, size: int, crc: int) -> bool:
    """Whether a member's bytes in an archive have the right length and CRC-32.

    Parameters
    ----------
    data
        Stored or deflated bytes.
    method
        `zipfile.ZIP_STORED` or `zipfile.ZIP_DEFLATED`.
    size, crc
        Expected size and CRC-32 of the content.
    """
    if method == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error:
            return False
    return len(data) == size and zlib.crc32(data) == crc


class ResumableZip:
    """Writes a zip archive to `<path>.part`, renamed to `path` when finished.

    A part of an earlier process is read from its beginning, verified by its members' lengths and
    CRC-32s, and truncated after the last intact member. Use it as a context manager.

    Parameters
    ----------
    path
        Path of the archive.

    Attributes
    ----------
    members
        Members in the part, in order.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._path.with_name(self._path.name + ".part")
        self._stream: BinaryIO = open(self._part, "r+b" if self._part.exists() else "w+b")  # noqa: SIM115
        self.members = list(_whole_members(self._stream, self._part.stat().st_size))
        self.keep(len(self.members))

    def __enter__(self) -> "ResumableZip":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def keep(self, number: int) -> None:
        """Drop all but the first `number` members."""
        end = 0
        if number:
            last = self.members[number - 1]
            end = last.header_offset + len(last.FileHeader()) + last.compress_size
        del self.members[number:]
        self._stream.truncate(end)
        self._stream.seek(end)

    def add(self, name: str, data: bytes | memoryview, *, crc: int, size: int, method: int) -> None:
        """Append a member.

        Parameters
        ----------
        name
            Its name.
        data
            Its bytes as stored in the archive, under 2 GB.
        crc, size
            Checksum and size of its content.
        method
            `zipfile.ZIP_STORED` or `zipfile.ZIP_DEFLATED`.

        Raises
        ------
        DataError
            If the member has 2 GB or more, or its name points outside the folder.
        """
        check_member_name(name)
        if max(len(data), size) > zipfile.ZIP64_LIMIT:
            raise DataError(f"{name} has {size / 1e9:.1f} GB; members must be smaller than 2 GB.")
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.external_attr = 0o644 << 16
        info.compress_type, info.CRC = method, crc
        info.compress_size, info.file_size = len(data), size
        info.header_offset = self._stream.tell()
        self._stream.write(info.FileHeader())
        self._stream.write(data)
        self._stream.flush()
        self.members.append(info)

    def finish(self) -> None:
        """Write the directory, flush to disk, and rename the archive."""
        # In mode "w" zipfile writes its directory at the stream's position.
        with zipfile.ZipFile(self._stream, "w") as archive:
            archive.infolist().extend(self.members)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.replace(self._part, self._path)


def _whole_members(stream: BinaryIO, size: int) -> Iterator[zipfile.ZipInfo]:
    """The members of the part up to the first truncated or damaged one."""
    at = 0
    while True:
        stream.seek(at)
        header = stream.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL_SIGNATURE):
            return
        _, _, _, method, _, _, crc, length, content, name, extra = LOCAL_HEADER.unpack(header)
        start = at + LOCAL_HEADER.size + name + extra
        # The writer above uses no extra fields: this is another archive.
        if extra or start + length > size:
            return
        try:
            info = zipfile.ZipInfo(stream.read(name).decode("utf-8"), (1980, 1, 1, 0, 0, 0))
        except UnicodeDecodeError:
            return
        stream.seek(start)
        if not is_intact(stream.read(length), method=method, size=content, crc=crc):
            return
        info.external_attr = 0o644 << 16
        info.compress_type, info.CRC = method, crc
        info.compress_size, info.file_size = length, content
        info.header_offset = at
        yield info
        at = start + length
