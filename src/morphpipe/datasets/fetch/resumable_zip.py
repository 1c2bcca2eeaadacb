"""A zip archive that is written member by member and survives being cut off at any byte."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from morphpipe.core.errors import DataError

# PKWARE's APPNOTE, 4.3.7: what stands before every member.
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"


def check_member_name(name: str) -> None:
    """Stop at a member that would be written elsewhere, were its archive unpacked into a folder.

    Raises
    ------
    DataError
        When the name is absolute, climbs up, or is not printable.
    """
    parts = name.replace("\\", "/").split("/")
    if not name.isprintable() or "" in parts or ".." in parts or ":" in parts[0]:
        raise DataError(
            f"{name!r} is no name of a file inside an archive: it leads out of the folder that "
            "the archive would be unpacked into. Name another source in the configuration."
        )


def is_intact(data: bytes | memoryview, *, method: int, size: int, crc: int) -> bool:
    """Whether a member's bytes, as they lie in an archive, have the right length and CRC-32.

    Parameters
    ----------
    data
        Stored or deflated bytes.
    method
        `zipfile.ZIP_STORED` or `zipfile.ZIP_DEFLATED`.
    size, crc
        What the content has to have.
    """
    if method == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error:
            return False
    return len(data) == size and zlib.crc32(data) == crc


class ResumableZip:
    """Writes a zip archive into `<path>.part`, which becomes `path` when it is finished.

    A part that an earlier process has left behind is read from its beginning: its members carry
    their own names, lengths and CRC-32s, so that no journal is needed to tell how far it is
    whole. What follows the last whole member is cut off. Use it as a context manager.

    Parameters
    ----------
    path
        Where the archive shall appear.

    Attributes
    ----------
    members
        The members that are in the part, in order.
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
            The member's name.
        data
            Its bytes as they shall lie in the archive, under 2 GB.
        crc, size
            Of its content.
        method
            `zipfile.ZIP_STORED` or `zipfile.ZIP_DEFLATED`.

        Raises
        ------
        DataError
            When the member is 2 GB or more, or its name leads out of a folder.
        """
        check_member_name(name)
        if max(len(data), size) > zipfile.ZIP64_LIMIT:
            raise DataError(f"{name} has {size / 1e9:.1f} GB; members under 2 GB can be fetched.")
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
        """Write the directory, flush everything to the disk, and give the archive its name."""
        # In mode "w" zipfile writes the directory of what it lists to where the stream stands.
        with zipfile.ZipFile(self._stream, "w") as archive:
            archive.infolist().extend(self.members)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.replace(self._part, self._path)


def _whole_members(stream: BinaryIO, size: int) -> Iterator[zipfile.ZipInfo]:
    """The members from the beginning of the part up to the first that is cut short or damaged."""
    at = 0
    while True:
        stream.seek(at)
        header = stream.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL_SIGNATURE):
            return
        _, _, _, method, _, _, crc, length, content, name, extra = LOCAL_HEADER.unpack(header)
        start = at + LOCAL_HEADER.size + name + extra
        # The writer above gives no member an extra field: this one is of another archive.
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
