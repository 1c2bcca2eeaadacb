"""Lock file of checksums: recorded at the first download, verified from then on."""

import fcntl
import re
from pathlib import Path

from morphpipe.core.errors import DataError
from morphpipe.core.json_files import read_json
from morphpipe.core.storage import sha256_of_file, write_json


def recorded_checksum(lock: str | Path, url: str) -> str | None:
    """Return the recorded checksum of an address, or None."""
    lock = Path(lock)
    if not lock.exists():
        return None
    checksum = _read_lock(lock).get(url)
    return None if checksum is None else str(checksum)


def address_of_checksum(lock: str | Path, sha256: str) -> str | None:
    """Return the address with a recorded checksum, or None."""
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
            f"{lock} is not a JSON file of addresses and checksums ({error}): repair it, or delete "
            "it to record the checksums again."
        ) from None


def demand_first(path: str | Path, name: str, lock: str | Path) -> str:
    """Compare a file assembled from many downloads with the checksum of the first time.

    Parameters
    ----------
    path
        The file; deleted if it differs.
    name
        Its origin: an address, with the selection after a `#`.
    lock
        See `fetch`; a new name is added.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        If the checksum differs from the recorded one.
    """
    expected, found = recorded_checksum(lock, name), sha256_of_file(path)
    if expected is None:
        record_checksum(lock, name, found)
    elif expected != found:
        Path(path).unlink()
        raise DataError(
            f"{name} gives a file with the SHA-256 {found}, but it was {expected} the first time: "
            f"the source has changed. If you trust it, remove the entry in {lock}."
        )
    return found


def record_checksum(lock: str | Path, url: str, sha256: str) -> None:
    """Add an address and its checksum to a lock file; safe across processes."""
    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock.with_name(f".{lock.name}.guard"), "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        content = _read_lock(lock) if lock.exists() else {}
        content[url] = sha256
        write_json(dict(sorted(content.items())), lock)
