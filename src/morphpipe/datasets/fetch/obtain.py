"""Obtain data files: existing files are verified and kept, others downloaded.

A file that took hours to download, or was put in place by hand on a machine without a network, is
never downloaded again or deleted. A record file next to it is the output that Snakemake tracks.
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
    """Return the path of a file's record."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def obtained(record: str | Path) -> Path:
    """Return the path of the file that a record belongs to.

    Raises
    ------
    DataError
        If the record exists but the file does not.
    """
    record = Path(record)
    path = record.with_name(record.name.removesuffix(".json"))
    if record.is_file() and not path.is_file():
        raise DataError(
            f"{path} was deleted, but its record {record} exists: restore the file, or delete the "
            "record to download it again."
        )
    return path


def obtain(
    address: str, path: str | Path, *, sha256: str | None = None, lock: str | Path | None = None
) -> str:
    """Download a file to `path` unless it exists, and record its checksum.

    Parameters
    ----------
    address, sha256, lock
        See `morphpipe.datasets.fetch.download.fetch`.
    path
        Destination. An existing file must have the checksum of `sha256` or the lock; without either
        its own is recorded.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        If the file cannot be downloaded, or has another checksum.
    """
    path = Path(path)
    found = _kept(path, address, sha256, lock)
    if found is None:
        found = fetch(address, path, sha256=sha256, lock=lock)
    return _recorded(path, address, found)


def obtain_made(
    name: str, path: str | Path, make: Callable[[], object], *, lock: str | Path | None = None
) -> str:
    """Like `obtain`, for a file assembled from many downloads.

    Parameters
    ----------
    name
        Its origin: an address, with the selection after a `#`.
    path, lock
        See `obtain`. The expected checksum is that of the first time.
    make
        Creates the file at `path`.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DataError
        If the checksum differs from the first time.
    """
    path = Path(path)
    found = _kept(path, name, None, lock)
    if found is None:
        make()
        found = sha256_of_file(path) if lock is None else demand_first(path, name, lock)
    return _recorded(path, name, found)


def _kept(path: Path, name: str, sha256: str | None, lock: str | Path | None) -> str | None:
    """Checksum of an existing file after verification, or None.

    A link to a `file:` address is always renewed, since its target may have changed.
    """
    if not path.is_file() or path.is_symlink():
        return None
    found = sha256_of_file(path)
    expected = sha256 or (recorded_checksum(lock, name) if lock else None)
    if expected not in (None, found):
        raise DataError(
            f"{path} has the SHA-256 {found}, but {expected} is declared or was recorded at the "
            f"first download of {name}: it is damaged, or another file. Move it away to download "
            "it again."
        )
    if expected is None:
        fault = fault_of(path, path.name, name)
        if fault:
            raise DataError(
                f"{path} is not the expected file: {fault}. Move it away to download it again."
            )
        other = address_of_checksum(lock, found) if lock else None
        if other is not None:
            raise DataError(
                f"{path} was downloaded from {other}, but {name} is now configured: move it away "
                "to download the new one, or configure its original address."
            )
        if lock:
            record_checksum(lock, name, found)
    tqdm.write(f"{path} exists with the SHA-256 {found} and is kept.")
    return found


def _recorded(path: Path, name: str, found: str) -> str:
    content = {"address": name, "sha256": found, "size": path.stat().st_size}
    write_checked_json(content, record_of(path))
    return found
