"""Resumable downloads with a progress bar, checked by size and checksum."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.core.json_files import read_json
from morphpipe.core.storage import sha256_of_file, write_json
from morphpipe.datasets.fetch.connection import announced, ask, body, new_session, tells_its_end
from morphpipe.datasets.fetch.file_kinds import CutShortError, WrongKindError, check_kind
from morphpipe.datasets.fetch.lock import record_checksum, recorded_checksum

_CHUNK = 1 << 16
_ATTEMPTS = 8
# Maximum size of a file of unannounced length; no declared table or weight is as large.
_UNANNOUNCED = 8 << 30

T = TypeVar("T")


def fetch(
    url: str, path: str | Path, *, sha256: str | None = None, lock: str | Path | None = None
) -> str:
    """Download a file to `path` and verify it.

    An interrupted download resumes from `<path>.part`, in this call (eight attempts) or a later
    one. A `file:` address becomes a symbolic link, so that an archive on a shared disk is read in
    place.

    Parameters
    ----------
    url
        `https:`, `http:` or `file:`; the usual proxy variables are honoured.
    path
        Destination.
    sha256
        Expected checksum.
    lock
        JSON file of checksums by address. Without `sha256`, the checksum recorded there is
        expected; a new address is added, unless the file cannot be shown to be complete (a text
        from a server that does not announce its length).

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        If the file cannot be downloaded, the disk is too small, the checksum differs, or the file
        is not of the type in its name (of `path`, else of `url`): a login page, or truncated.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    expected = sha256 or (recorded_checksum(lock, url) if lock else None)
    local = local_path(url)
    whole = True
    if local is not None:
        arrived = local
    else:
        arrived, _ = part_of(path)
        with storing(arrived):
            whole = retry(
                lambda: _continue_download(url, arrived, path.name, expected is not None),
                url,
                f"The partial download is kept in {arrived}: rerun to resume, or put the complete "
                f"file at {path} by hand.",
            )
    found = sha256_of_file(arrived)
    if found != expected:
        fault = fault_of(arrived, path.name, url)
        if local is None and (fault or expected is not None):
            arrived.unlink()
            _tag_file(arrived).unlink(missing_ok=True)
        if expected is not None:
            raise DataError(
                f"{url} has the SHA-256 {found}, but {expected} was expected: "
                f"{f'{fault}, so that ' if fault else ''}the file is damaged, or it has been "
                "replaced at its source. If you trust the new one, change the checksum in the "
                f"configuration{f' or remove the entry in {lock}' if lock else ''}."
            )
        if fault:
            raise DataError(
                f"{url} does not return the requested file: {fault}. Open the address in a browser "
                "(some servers require a login or an agreement), or set a mirror in the "
                "configuration."
            )
    if local is not None:
        if not path.exists() or path.resolve() != arrived.resolve():
            temporary = path.with_name(f".{path.name}.link")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(arrived.resolve())
            os.replace(temporary, path)
    else:
        os.replace(arrived, path)
        _tag_file(arrived).unlink(missing_ok=True)
    if lock is not None and expected is None:
        if whole:
            record_checksum(lock, url, found)
        else:
            tqdm.write(
                f"The checksum of {url} is not recorded: its server does not announce the length, "
                "so a truncated download cannot be detected. Check that the file is complete."
            )
    return found


def fault_of(path: Path, *names: str) -> str:
    """Describe how a file differs from the type in its name; empty if it does not."""
    try:
        with open(path, "rb") as stream:
            check_kind(stream, *names)
    except (WrongKindError, CutShortError) as error:
        return str(error)
    return ""


def part_of(path: Path) -> tuple[Path, Path]:
    """Return the paths of a partial download and of its tag."""
    part = path.with_name(path.name + ".part")
    return part, _tag_file(part)


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def local_path(url: str) -> Path | None:
    """Return the path of a `file:` address, or None for `http:` and `https:`.

    Raises
    ------
    DataError
        If the file does not exist, or the scheme is unknown.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return None
    if parts.scheme != "file":
        raise DataError(f"{url} cannot be downloaded: use an https:, http: or file: address.")
    path = Path(unquote(parts.path if not parts.netloc else parts.netloc + parts.path))
    if not path.is_file():
        raise DataError(f"{url} refers to {path}, which does not exist.")
    return path


def retry(attempt: Callable[[], T], url: str, hint: str) -> T:
    """Retry network requests, eight times with increasing pauses.

    Parameters
    ----------
    attempt
        The request. Only network errors (`requests.RequestException`) and the statuses 408, 425,
        429 and 5xx are retried.
    url
        For the message.
    hint
        Advice for when all attempts have failed.

    Raises
    ------
    DataError
        If the server refuses, or all attempts fail.
    """
    fault: Exception | None = None
    for number in range(_ATTEMPTS):
        if number:
            time.sleep(min(2**number / 4, 30))
        try:
            return attempt()
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status not in (408, 425, 429):
                raise DataError(
                    f"{url} answers {status}: check the address, or set a mirror in the "
                    "configuration."
                ) from None
            fault = error
        except requests.RequestException as error:
            fault = error
    raise DataError(f"{url} could not be downloaded after {_ATTEMPTS} attempts ({fault}). {hint}")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn disk errors, which are not worth a retry, into a `DataError`.

    Raises
    ------
    DataError
        For any OSError in the block.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"The disk (or your quota) is full in {path.parent}: free some space, or set "
                "`paths.cache` to another disk. The partial download is kept; rerun to resume."
            ) from None
        raise DataError(f"{path} cannot be written ({error.strerror or error}).") from None


def require_space(path: Path, needed: int, what: str) -> None:
    """Check that the disk can hold a download.

    Parameters
    ----------
    path
        A file in the destination folder.
    needed
        Bytes.
    what
        Name of the download, for the message.

    Raises
    ------
    DataError
        If fewer bytes are free.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{what} needs {needed / 1e9:.1f} GB more, but only {free / 1e9:.1f} GB are free in "
            f"{path.parent}: free some, or set `paths.cache` to another disk."
        )


def _continue_download(url: str, part: Path, name: str, pinned: bool) -> bool:
    """Download the rest of a file; return whether the result is known to be complete.

    If the server does not announce the length, the content has to show it: a truncated or
    undecidable file counts as a broken connection, unless it is `pinned` by a checksum.
    """
    tag_file = _tag_file(part)
    have = part.stat().st_size if part.exists() else 0
    tag = _read_tag(tag_file)
    headers = {}
    if have and tag.get("validator"):
        # Without If-Range, a file replaced at its source would be appended to the old part.
        headers = {"Range": f"bytes={have}-", "If-Range": str(tag["validator"])}
    else:
        have = 0
    with new_session() as session, ask(session, url, headers) as response:
        if response.status_code == 416 and have:
            if have == tag.get("size"):
                return True
            # The file is shorter than the part, which therefore belongs to another file.
            part.unlink()
            raise requests.ConnectionError(f"the server has no data after byte {have}")
        response.raise_for_status()
        length = announced(response)
        if response.status_code == 206:
            size = _size_in_range(response, have, length)
        else:
            have, size = 0, length
        ends = size is not None or tells_its_end(response)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if validator and validator.startswith("W/"):
            validator = None
        write_json({"validator": validator, "size": size}, tag_file)
        if size is not None:
            require_space(part, size - have, url)
        with (
            open(part, "ab" if have else "wb") as stream,
            tqdm(
                desc=part.name.removesuffix(".part"),
                total=size,
                initial=have,
                unit="B",
                unit_scale=True,
            ) as progress,
        ):
            for piece in body(response, _CHUNK):
                stream.write(piece)
                progress.update(len(piece))
                if size is None and stream.tell() > _UNANNOUNCED:
                    stream.truncate(0)
                    raise DataError(
                        f"{url} has sent more than {_UNANNOUNCED / 1e9:.0f} GB without announcing "
                        "the file's length: download it by hand."
                    )
            stream.flush()
            os.fsync(stream.fileno())
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        raise requests.ConnectionError(f"{arrived} of {size} bytes arrived")
    return ends or _says_it_is_whole(part, name, url, pinned)


def _size_in_range(response: requests.Response, have: int, length: int | None) -> int | None:
    given = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", given.strip())
    if match is None or int(match[1]) != have:
        raise requests.ConnectionError(
            f"bytes from {have} on were requested, the server answers with {given or 'no range'}"
        )
    size = None if length is None else have + length
    if match[3] == "*":
        return size
    if size not in (None, int(match[3])):
        raise requests.ConnectionError(
            f"the server announces {length} bytes after byte {have}, but the range {given}"
        )
    return int(match[3])


def _says_it_is_whole(part: Path, name: str, url: str, pinned: bool) -> bool:
    try:
        with open(part, "rb") as stream:
            found = check_kind(stream, name, url)
    except CutShortError as error:
        raise requests.ConnectionError(f"the connection closed early: {error}") from None
    except WrongKindError:
        return False  # A retry would not help; `fetch` reports the fault.
    if found == "open" and not pinned:
        raise requests.ConnectionError(
            "neither the server nor the file itself tells its length, so it may be incomplete: "
            "give its SHA-256, or download it from elsewhere"
        )
    return found == "proven"


def _read_tag(tag_file: Path) -> dict[str, Any]:
    """Read the tag of a part; a damaged tag is empty, so that the download restarts."""
    try:
        tag = read_json(tag_file)
    except (OSError, ValueError):
        return {}
    return tag if isinstance(tag, dict) else {}
