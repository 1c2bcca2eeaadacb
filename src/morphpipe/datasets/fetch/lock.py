"""Checksums of first downloads, demanded from then on."""

import fcntl
import re
from pathlib import Path

from morphpipe.core.errors import DataError
from morphpipe.core.json_files import read_json
from morphpipe.core.storage import sha256_of_file, write_json


def recorded_checksum(lock: str | Path, url: str) -> str | None:
    """The checksum that a lock file holds for an address."""
    lock = Path(lock)
    if not lock.exists():
        return None
    checksum = _read_lock(lock).get(url)
    return None if checksum is None else str(checksum)


def address_of_checksum(lock: str | Path, sha256: str) -> str | None:
    """The address whose file has a checksum, by a lock file."""
    content = _read_lock(Path(lock)) if Path(lock).exists() else {}
    return next((address for address, checksum in content.items() if checksum == sha256), None)


def _read_lock(lock: Path) -> dict[str, str]:
    try:
        content = dict(read_json(lock))
        if not all(re.fullmatch("[0-9a-f]{64}", str(checksum)) for checksum in content.values()):
            raise ValueError("not every value is a SHA-256")
        return content
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{lock} is no JSON file of addresses and checksums ({error}): mend it, or delete it "
            "to have the checksums recorded anew."
        ) from None


def demand_first(path: str | Path, name: str, lock: str | Path) -> str:
    """Compare a file that was put together of many downloads with what the first time gave.

    Parameters
    ----------
    path
        The file; deleted where it is another.
    name
        What it was made of: an address, and the selection behind a `#`.
    lock
        See `fetch`; a name that is not in it yet is added.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        When the checksum is another than the recorded one.
    """
    expected, found = recorded_checksum(lock, name), sha256_of_file(path)
    if expected is None:
        record_checksum(lock, name, found)
    elif expected != found:
        Path(path).unlink()
        raise DataError(
            f"{name} gives a file with the SHA-256 {found}, the first time it was {expected}: what "
            f"lies there has been replaced. If you trust it, remove the entry in {lock}."
        )
    return found


def record_checksum(lock: str | Path, url: str, sha256: str) -> None:
    """Add an address and its checksum to a lock file; safe among several processes."""
    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock.with_name(f".{lock.name}.guard"), "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        content = _read_lock(lock) if lock.exists() else {}
        content[url] = sha256
        write_json(dict(sorted(content.items())), lock)
