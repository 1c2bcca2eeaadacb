"""Bringing data to where a run looks for them: what is there already is checked and kept.

A file that took hours, or was put there by hand on a machine without a network, is never fetched
again and never deleted. Beside it lies a record, which is what Snakemake waits for.
"""

from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.storage import sha256_of_file
from morphpipe.datasets.fetch.download import fault_of, fetch
from morphpipe.datasets.fetch.lock import (
    address_of_checksum,
    demand_first,
    record_checksum,
    recorded_checksum,
)


def record_of(path: str | Path) -> Path:
    """The record beside a file that was obtained."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def obtained(record: str | Path) -> Path:
    """The file beside a record.

    Raises
    ------
    DataError
        When the record is there and the file is not.
    """
    record = Path(record)
    path = record.with_name(record.name.removesuffix(".json"))
    if record.is_file() and not path.is_file():
        raise DataError(
            f"{path} has been deleted, though {record} says that it was fetched: put it back, or "
            "delete the record as well to have it fetched again."
        )
    return path


def obtain(
    address: str, path: str | Path, *, sha256: str | None = None, lock: str | Path | None = None
) -> str:
    """Bring a file to `path`, unless it is there already, and record what it is.

    Parameters
    ----------
    address, sha256, lock
        See `morphpipe.datasets.fetch.download.fetch`.
    path
        Where the file shall be. One that is there already, whoever put it there, has to have the
        checksum that `sha256` or the lock demands; its own is recorded where neither does.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        When the file cannot be had, or has another checksum.
    """
    path = Path(path)
    found = _kept(path, address, sha256, lock)
    if found is None:
        found = fetch(address, path, sha256=sha256, lock=lock)
    return _recorded(path, address, found)


def obtain_made(
    name: str, path: str | Path, make: Callable[[], object], *, lock: str | Path | None = None
) -> str:
    """Like `obtain`, of a file that is put together of many downloads.

    Parameters
    ----------
    name
        What it is made of: an address, and the selection behind a `#`.
    path, lock
        See `obtain`. No checksum is known beforehand: what the first time gave is demanded.
    make
        Brings it to `path`.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        When the file has another checksum than the first time.
    """
    path = Path(path)
    found = _kept(path, name, None, lock)
    if found is None:
        make()
        found = sha256_of_file(path) if lock is None else demand_first(path, name, lock)
    return _recorded(path, name, found)


def _kept(path: Path, name: str, sha256: str | None, lock: str | Path | None) -> str | None:
    """Checksum of a file that is there already, once it is clear that it is the one; or none.

    A link to a `file:` address is made anew each time: what it points to may have changed.
    """
    if not path.is_file() or path.is_symlink():
        return None
    found = sha256_of_file(path)
    expected = sha256 or (recorded_checksum(lock, name) if lock else None)
    if expected not in (None, found):
        raise DataError(
            f"{path} has the SHA-256 {found}, but {expected} is declared, or was that of the first "
            f"download of {name}: it is damaged, or another file. Move it away to have it fetched "
            "again."
        )
    if expected is None:
        fault = fault_of(path, path.name, name)
        if fault:
            raise DataError(
                f"{path} is not such a file: {fault}. Move it away to have it fetched again."
            )
        other = address_of_checksum(lock, found) if lock else None
        if other is not None:
            raise DataError(
                f"{path} is what {other} gave, and {name} is asked for now: move it away to have "
                "that fetched, or name the address that it is from."
            )
        if lock:
            record_checksum(lock, name, found)
    tqdm.write(f"{path} is there already, with the SHA-256 {found}: it is kept.")
    return found


def _recorded(path: Path, name: str, found: str) -> str:
    content = {"address": name, "sha256": found, "size": path.stat().st_size}
    write_checked_json(content, record_of(path))
    return found
