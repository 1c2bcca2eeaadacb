"""Extract single members of a remote zip archive by HTTP range requests.

RxRx1's archive has 47 GB and 753,060 members, of which one experiment is about 1 GB.
"""

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import requests
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch.connection import ask, body, new_session
from morphpipe.datasets.fetch.download import local_path, require_space, retry, storing
from morphpipe.datasets.fetch.resumable_zip import (
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    ResumableZip,
    check_member_name,
    is_intact,
)

# Neighbouring members are requested together: maximum bytes per request and per gap.
_REQUEST = 8 << 20
_GAP = 1 << 16
_CHUNK = 1 << 16
# Bytes at the end that locate the directory: the longest comment and the records.
_TAIL = (1 << 16) + 128
# A 16-bit image has a few megabytes.
_LARGEST_MEMBER = 1 << 28
# RxRx1's directory of 753,060 members has about 80 MB.
_LARGEST_READ = 1 << 29
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class _Wanted:
    """A member to download, with its byte range up to the next header."""

    info: zipfile.ZipInfo
    start: int
    stop: int


def fetch_members(url: str, path: str | Path, *, wanted: Callable[[str], bool]) -> int:
    """Download selected members of a remote zip archive into a local one.

    Members are read in the order of the remote archive and keep their names and bytes (stored
    members stay stored). An interrupted call resumes from `<path>.part`, after the last complete
    member that still agrees with the remote directory.

    Parameters
    ----------
    url
        `https:`, `http:` (the server must support range requests) or `file:`.
    path
        Path of the local archive.
    wanted
        Predicate on the names of members (without directories).

    Returns
    -------
    int
        Number of members in the local archive.

    Raises
    ------
    DataError
        If no member is wanted, the server ignores range requests, the remote archive is not a zip
        or is replaced meanwhile, a member is damaged, or the disk is too small.
    """
    path = Path(path)
    with storing(path), closing(_open(url)) as source:
        plan = _plan(source, url, wanted)
        with ResumableZip(path) as archive:
            archive.keep(_agreeing(archive.members, plan))
            rest = plan[len(archive.members) :]
            needed = sum(
                member.info.compress_size + 2 * len(member.info.filename) + 128 for member in rest
            )
            require_space(path, needed, f"{len(rest)} members of {url}")
            with tqdm(
                desc=path.name,
                total=_size_of(plan),
                initial=_size_of(plan[: len(archive.members)]),
                unit="B",
                unit_scale=True,
            ) as progress:
                for group in _groups(rest):
                    source.seek(group[0].start)
                    block = memoryview(source.read(group[-1].stop - group[0].start))
                    for member in group:
                        data = _data(block[member.start - group[0].start :], member.info, url)
                        archive.add(
                            member.info.filename,
                            data,
                            crc=member.info.CRC,
                            size=member.info.file_size,
                            method=member.info.compress_type,
                        )
                        progress.update(len(data))
            archive.finish()
    return len(plan)


def _size_of(plan: list[_Wanted]) -> int:
    return sum(member.info.compress_size for member in plan)


def _plan(source: BinaryIO, url: str, wanted: Callable[[str], bool]) -> list[_Wanted]:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
            stops = [entry.header_offset for entry in entries[1:]] + [archive.start_dir]
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise DataError(
            f"{url} cannot be read as a zip archive ({error}): check the address, or set a mirror "
            "in the configuration."
        ) from None
    plan = [
        _Wanted(entry, entry.header_offset, stop)
        for entry, stop in zip(entries, stops, strict=True)
        if not entry.is_dir() and wanted(entry.filename)
    ]
    if not plan:
        files = [entry.filename for entry in entries if not entry.is_dir()]
        examples = ", ".join(files[:2])
        raise DataError(
            f"None of the {len(files)} members of {url} is wanted"
            f"{f' (the first are {examples})' if examples else ''}: check the selection."
        )
    for member in plan:
        if member.info.flag_bits & _ENCRYPTED or member.info.compress_type not in _METHODS:
            raise DataError(
                f"{url}: {member.info.filename} is encrypted or compressed by method "
                f"{member.info.compress_type}; stored and deflated members can be read."
            )
        if max(member.info.file_size, member.info.compress_size) > _LARGEST_MEMBER:
            raise DataError(
                f"{url}: {member.info.filename} has {member.info.file_size / 1e9:.1f} GB, too much "
                "for an image: set another mirror in the configuration."
            )
        check_member_name(member.info.filename)
    return plan


def _agreeing(members: list[zipfile.ZipInfo], plan: list[_Wanted]) -> int:
    """Number of members in the part that match the start of the plan."""
    for number, (here, there) in enumerate(zip(members, plan, strict=False)):
        if (here.filename, here.CRC, here.compress_size) != (
            there.info.filename,
            there.info.CRC,
            there.info.compress_size,
        ):
            return number
    return min(len(members), len(plan))


def _groups(plan: list[_Wanted]) -> Iterator[list[_Wanted]]:
    group: list[_Wanted] = []
    for member in plan:
        if group and (
            member.start - group[-1].stop > _GAP or member.stop - group[0].start > _REQUEST
        ):
            yield group
            group = []
        group.append(member)
    if group:
        yield group


def _data(block: memoryview, info: zipfile.ZipInfo, url: str) -> memoryview:
    """The member's bytes, from a block that begins with its header."""
    if len(block) >= LOCAL_HEADER.size and bytes(block[:4]) == LOCAL_SIGNATURE:
        header = LOCAL_HEADER.unpack_from(block)
        start = LOCAL_HEADER.size + header[9] + header[10]
        data = block[start : start + info.compress_size]
        if len(data) == info.compress_size and is_intact(
            data, method=info.compress_type, size=info.file_size, crc=info.CRC
        ):
            return data
    raise DataError(
        f"{info.filename} arrives damaged from {url} (its checksum differs from the directory): "
        "rerun, and if that does not help, set a mirror in the configuration."
    )


def _open(url: str) -> BinaryIO:
    local = local_path(url)
    return open(local, "rb") if local is not None else cast(BinaryIO, _RemoteFile(url))


class _RemoteFile(io.RawIOBase):
    def __init__(self, url: str) -> None:
        self._url = url
        self._session = new_session()
        self._at = 0
        self._size, self._validator = retry(self._probe, url, "Rerun later.")
        self._tail_start = max(self._size - _TAIL, 0)
        self._tail = self._range(self._tail_start, self._size)

    def _probe(self) -> tuple[int, str | None]:
        """The file's size, and its validator (to detect replacement)."""
        with ask(self._session, self._url, {"Range": "bytes=0-0"}) as response:
            response.raise_for_status()
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if response.status_code != 206 or not re.fullmatch("[0-9]{1,18}", total):
                raise DataError(
                    f"The server of {self._url} does not support range requests, so parts of the "
                    "archive cannot be downloaded: download the whole archive, or set another "
                    "mirror in the configuration."
                )
            validator = response.headers.get("ETag")
            if validator is None or validator.startswith("W/"):
                validator = response.headers.get("Last-Modified")
            return int(total), validator

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer only at the end of the file; large reads show progress."""
        start = self._at
        stop = self._size if size is None or size < 0 else min(start + size, self._size)
        self._at = max(start, stop)
        if start >= self._tail_start:
            return bytes(self._tail[start - self._tail_start : max(stop - self._tail_start, 0)])
        if stop - start > _LARGEST_READ:
            raise DataError(
                f"{self._url}: the directory of the archive would have {(stop - start) / 1e9:.1f} "
                "GB, which is implausible: set another mirror in the configuration."
            )
        pieces = []
        with tqdm(
            desc="directory",
            total=stop - start,
            unit="B",
            unit_scale=True,
            disable=stop - start <= _REQUEST,
        ) as progress:
            for at in range(start, stop, _REQUEST):
                pieces.append(self._range(at, min(at + _REQUEST, stop)))
                progress.update(len(pieces[-1]))
        return b"".join(pieces)

    def close(self) -> None:
        if not self.closed:
            self._session.close()
        super().close()

    def _range(self, start: int, stop: int) -> bytes:
        """Bytes start to stop - 1; partial answers are kept on retry."""
        received = bytearray()
        while len(received) < stop - start:
            retry(
                lambda: self._receive(start + len(received), stop, received),
                self._url,
                "The partial download is kept: rerun to resume.",
            )
        return bytes(received[: stop - start])

    def _receive(self, start: int, stop: int, received: bytearray) -> None:
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if self._validator is not None:
            headers["If-Range"] = self._validator
        before = len(received)
        with ask(self._session, self._url, headers) as response:
            if response.status_code not in (200, 416):
                response.raise_for_status()
            given = response.headers.get("Content-Range", "")
            if response.status_code != 206 or given.rpartition("/")[2] != str(self._size):
                raise DataError(
                    f"{self._url} was replaced at its source while being read: rerun to start over."
                )
            if not given.startswith(f"bytes {start}-"):
                raise requests.ConnectionError(
                    f"bytes from {start} on were requested, the server answers with {given}"
                )
            missing = before + stop - start
            try:
                for piece in body(response, _CHUNK):
                    received += piece
                    if len(received) >= missing:
                        return
                raise requests.ConnectionError(
                    f"{len(received) - before} of {stop - start} bytes arrived"
                )
            except requests.RequestException:
                # Attempts that make progress are not limited, unless the progress is negligible.
                if len(received) - before < _CHUNK:
                    raise
