"""Fetching files: resumable, with a progress bar, checked by size and checksum."""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from tqdm import tqdm

from morphpipe.errors import DataError
from morphpipe.storage import sha256_of_file, write_json

# What has arrived of a chunk is lost when the connection breaks.
_CHUNK = 1 << 16
_ATTEMPTS = 8


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
        is demanded; an address that is not in it yet is added.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        When the file cannot be had, the disk is too small, or the checksum is another.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    expected = sha256 or (recorded_checksum(lock, url) if lock else None)
    parts = urlsplit(url)
    if parts.scheme == "file":
        arrived = Path(unquote(parts.path if not parts.netloc else parts.netloc + parts.path))
        if not arrived.is_file():
            raise DataError(f"There is no file {arrived}, which {url} names.")
    elif parts.scheme in ("http", "https"):
        arrived = path.with_name(path.name + ".part")
        _download(url, arrived)
    else:
        raise DataError(f"{url} cannot be fetched: https:, http: and file: addresses can.")
    found = sha256_of_file(arrived)
    if expected is not None and found != expected:
        if parts.scheme != "file":
            arrived.unlink()
            _tag_file(arrived).unlink(missing_ok=True)
        raise DataError(
            f"{url} has the SHA-256 {found}, but {expected} was expected: the file is damaged, "
            f"or it has been replaced at its source. If you trust the new one, change the "
            f"checksum in the configuration{f' or remove the entry in {lock}' if lock else ''}."
        )
    if parts.scheme == "file":
        if path.exists() and path.resolve() == arrived.resolve():
            return _recorded(lock, url, found, expected)
        temporary = path.with_name(f".{path.name}.link")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(arrived.resolve())
        os.replace(temporary, path)
    else:
        os.replace(arrived, path)
        _tag_file(arrived).unlink(missing_ok=True)
    return _recorded(lock, url, found, expected)


def _recorded(lock: str | Path | None, url: str, found: str, expected: str | None) -> str:
    """Record a checksum that nobody had expected, and give it back."""
    if lock is not None and expected is None:
        record_checksum(lock, url, found)
    return found


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _download(url: str, part: Path) -> None:
    """Bring `url` into `part`, going on behind what is there already."""
    fault: Exception | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(min(2**attempt / 4, 30))
        try:
            _continue_download(url, part)
            return
        except (requests.RequestException, OSError) as error:
            if isinstance(error, requests.HTTPError):
                status = error.response.status_code
                if status < 500 and status not in (408, 425, 429):
                    raise DataError(
                        f"{url} answers {status}: check the address, or name a mirror in the "
                        "configuration."
                    ) from None
            fault = error
    raise DataError(
        f"{url} could not be fetched after {_ATTEMPTS} attempts ({fault}). What has arrived "
        f"waits in {part}: run again to go on, or put the whole file there by hand."
    )


def _continue_download(url: str, part: Path) -> None:
    tag_file = _tag_file(part)
    have = part.stat().st_size if part.exists() else 0
    tag = json.loads(tag_file.read_text()) if tag_file.exists() else {}
    headers = {"Accept-Encoding": "identity"}
    if have and tag.get("validator"):
        # Without If-Range, a file replaced at its source would be glued to the old beginning.
        headers |= {"Range": f"bytes={have}-", "If-Range": tag["validator"]}
    else:
        have = 0
    with requests.get(url, headers=headers, stream=True, timeout=(20, 60)) as response:
        if response.status_code == 416 and have and have == tag.get("size"):
            return
        response.raise_for_status()
        if response.status_code != 206:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise requests.ConnectionError(
                f"bytes from {have} on were asked for, the server answers with "
                f"{response.headers.get('Content-Range')}"
            )
        length = response.headers.get("Content-Length")
        size = None if length is None else have + int(length)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if validator and validator.startswith("W/"):
            validator = None
        write_json({"validator": validator, "size": size}, tag_file)
        free = shutil.disk_usage(part.parent).free
        if size is not None and size - have > free:
            raise DataError(
                f"{url} needs {(size - have) / 1e9:.1f} GB more, but only {free / 1e9:.1f} GB "
                f"are free in {part.parent}: free some, or set `paths.cache` to another disk."
            )
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
            for chunk in response.iter_content(_CHUNK):
                stream.write(chunk)
                progress.update(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        raise requests.ConnectionError(f"{arrived} of {size} bytes arrived")


def recorded_checksum(lock: str | Path, url: str) -> str | None:
    """The checksum that a lock file holds for an address."""
    lock = Path(lock)
    if not lock.exists():
        return None
    checksum = _read_lock(lock).get(url)
    return None if checksum is None else str(checksum)


def _read_lock(lock: Path) -> dict[str, str]:
    try:
        return dict(json.loads(lock.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{lock} is no JSON file of addresses and checksums ({error}): mend it, or delete it "
            "to have the checksums recorded anew."
        ) from None


def record_checksum(lock: str | Path, url: str, sha256: str) -> None:
    """Add an address and its checksum to a lock file; safe among several processes."""
    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock.with_name(f".{lock.name}.guard"), "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        content = _read_lock(lock) if lock.exists() else {}
        content[url] = sha256
        write_json(dict(sorted(content.items())), lock)
