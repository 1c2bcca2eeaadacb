"""Fetching files: resumable, with a progress bar, checked by size and checksum."""

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
# Of a file whose length the server does not say; no table or weight that is declared has as much.
_UNANNOUNCED = 8 << 30

T = TypeVar("T")


def fetch(
    url: str, path: str | Path, *, sha256: str | None = None, lock: str | Path | None = None
) -> str:
    """Bring a file to `path` and check it.

    A download that breaks off goes on where it stopped, in this call (it tries eight times) or
    in a later one: what has arrived waits in `<path>.part`. A `file:` address becomes a symbolic
    link, so that an archive on a shared disk is read where it is.

    Parameters
    ----------
    url
        `https:`, `http:` or `file:`; the usual proxy variables are honoured.
    path
        Where the file shall be.
    sha256
        What its checksum has to be.
    lock
        A JSON file of checksums by address. Where `sha256` is none, the checksum recorded there
        is demanded; an address that is not in it yet is added, unless nothing says that the file
        is whole (a text from a server that does not announce its length).

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        When the file cannot be had, the disk is too small, the checksum is another, or the file is
        not what its name (of `path`, else of `url`) says: a login page, or cut short.
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
                f"What has arrived waits in {arrived}: run again to go on, or put the whole file "
                f"to {path} by hand.",
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
                f"{url} does not give what is asked for: {fault}. Open the address in a browser "
                "(some servers want a login or an agreement first), or name a mirror in the "
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
                f"The checksum of {url} is not recorded: its server does not say how long the "
                "file is, so that a connection that closes early cannot be told from its end. "
                "Look whether the file is whole."
            )
    return found


def fault_of(path: Path, *names: str) -> str:
    """In which way a file is not what its name says; the empty string where it is."""
    try:
        with open(path, "rb") as stream:
            check_kind(stream, *names)
    except (WrongKindError, CutShortError) as error:
        return str(error)
    return ""


def part_of(path: Path) -> tuple[Path, Path]:
    """Where what has arrived of a file waits, and what says of which download it is a part."""
    part = path.with_name(path.name + ".part")
    return part, _tag_file(part)


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def local_path(url: str) -> Path | None:
    """The file that a `file:` address names, or none for `http:` and `https:`.

    Raises
    ------
    DataError
        When there is no such file, or the address is of another kind.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return None
    if parts.scheme != "file":
        raise DataError(f"{url} cannot be fetched: https:, http: and file: addresses can.")
    path = Path(unquote(parts.path if not parts.netloc else parts.netloc + parts.path))
    if not path.is_file():
        raise DataError(f"There is no file {path}, which {url} names.")
    return path


def retry(attempt: Callable[[], T], url: str, hint: str) -> T:
    """Try until the network lets it through: eight times, with longer and longer pauses.

    Parameters
    ----------
    attempt
        What to try. Of what it raises, only faults of the network (`requests.RequestException`)
        and answers that say "later" (408, 425, 429, 5xx) are tried again.
    url
        For the message.
    hint
        A sentence on what to do when all attempts have failed.

    Raises
    ------
    DataError
        When the server refuses, or all attempts have failed.
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
                    f"{url} answers {status}: check the address, or name a mirror in the "
                    "configuration."
                ) from None
            fault = error
        except requests.RequestException as error:
            fault = error
    raise DataError(f"{url} could not be fetched after {_ATTEMPTS} attempts ({fault}). {hint}")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a fault of the disk into a sentence; trying again would not help.

    Raises
    ------
    DataError
        For any OSError of the block.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"The disk (or your quota) is full in {path.parent}: free some room, or set "
                "`paths.cache` to another disk. What has arrived is kept; run again to go on."
            ) from None
        raise DataError(f"{path} cannot be stored ({error.strerror or error}).") from None


def require_space(path: Path, needed: int, what: str) -> None:
    """Stop before a download that the disk cannot hold.

    Parameters
    ----------
    path
        A file in the folder that will hold it.
    needed
        Bytes.
    what
        What needs them, for the message.

    Raises
    ------
    DataError
        When fewer bytes are free.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{what} needs {needed / 1e9:.1f} GB more, but only {free / 1e9:.1f} GB are free in "
            f"{path.parent}: free some, or set `paths.cache` to another disk."
        )


def _continue_download(url: str, part: Path, name: str, pinned: bool) -> bool:
    """Fetch what is missing of a file; gives whether what has arrived is known to be the whole.

    Where the server does not say how long the file is, its content has to: a file that is cut
    short, or of which nothing can be told, counts as a broken connection. A `pinned` one has a
    checksum that will tell.
    """
    tag_file = _tag_file(part)
    have = part.stat().st_size if part.exists() else 0
    tag = _read_tag(tag_file)
    headers = {}
    if have and tag.get("validator"):
        # Without If-Range, a file replaced at its source would be glued to the old beginning.
        headers = {"Range": f"bytes={have}-", "If-Range": str(tag["validator"])}
    else:
        have = 0
    with new_session() as session, ask(session, url, headers) as response:
        if response.status_code == 416 and have:
            if have == tag.get("size"):
                return True
            # The file is shorter than was announced: what is here is not its beginning.
            part.unlink()
            raise requests.ConnectionError(f"the server has nothing behind byte {have}")
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
                        f"{url} has sent more than {_UNANNOUNCED / 1e9:.0f} GB without saying how "
                        "long the file is, and may never end: fetch it by hand."
                    )
            stream.flush()
            os.fsync(stream.fileno())
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        raise requests.ConnectionError(f"{arrived} of {size} bytes arrived")
    return ends or _says_it_is_whole(part, name, url, pinned)


def _size_in_range(response: requests.Response, have: int, length: int | None) -> int | None:
    """Size of the whole file, of an answer that brings what follows `have` bytes of it."""
    given = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", given.strip())
    if match is None or int(match[1]) != have:
        raise requests.ConnectionError(
            f"bytes from {have} on were asked for, the server answers with {given or 'no range'}"
        )
    size = None if length is None else have + length
    if match[3] == "*":
        return size
    if size not in (None, int(match[3])):
        raise requests.ConnectionError(
            f"the server announces {length} bytes behind byte {have}, and the range {given}"
        )
    return int(match[3])


def _says_it_is_whole(part: Path, name: str, url: str, pinned: bool) -> bool:
    try:
        with open(part, "rb") as stream:
            found = check_kind(stream, name, url)
    except CutShortError as error:
        raise requests.ConnectionError(f"the connection closed early: {error}") from None
    except WrongKindError:
        return False  # Trying again would not help; `fetch` says what is wrong.
    if found == "open" and not pinned:
        raise requests.ConnectionError(
            "the server does not say how long the file is, and the file itself neither, so that "
            "what arrived may be a part of it: give its SHA-256, or fetch it from elsewhere"
        )
    return found == "proven"


def _read_tag(tag_file: Path) -> dict[str, Any]:
    """What is known of a part; nothing where that is damaged, and the download begins anew."""
    try:
        tag = read_json(tag_file)
    except (OSError, ValueError):
        return {}
    return tag if isinstance(tag, dict) else {}
