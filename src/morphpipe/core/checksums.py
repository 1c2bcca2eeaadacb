"""Checksums for JSON files and folders of network weights."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from morphpipe.core.errors import DataError, WeightsError
from morphpipe.core.json_files import read_json
from morphpipe.core.lineage import lineage_of
from morphpipe.core.storage import atomic_path, sha256_of_file

RECORD = "weights.json"
_CHECKSUM = "checksum"


def checksum_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of plain values as JSON, independent of the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_checked_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write an object as indented JSON, atomically, including a checksum of its content."""
    # As it will be read: tuples become lists, numeric keys become strings.
    plain = json.loads(json.dumps(content))
    with atomic_path(path) as temporary:
        text = json.dumps(plain | {_CHECKSUM: checksum_of(plain)}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")


def read_checked_json(path: str | Path) -> dict[str, Any]:
    """Read a file of `write_checked_json`.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    DataError
        If it is damaged or has no checksum.
    """
    try:
        content = read_json(path)
        recorded = content.pop(_CHECKSUM, None)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error!r}): create it again.") from None
    if recorded != checksum_of(content):
        raise DataError(
            f"{path} is damaged, or was written by another version of morphpipe: its checksum does "
            "not match its content. Create it again."
        )
    return dict(content)


def record_files(folder: str | Path, files: Iterable[str], **about: Any) -> None:
    """Write the checksums of a folder's files, and further information, to its `weights.json`."""
    folder = Path(folder)
    checksums = {name: sha256_of_file(folder / name) for name in files}
    content = about | {"sha256": checksums, "lineage": lineage_of(folder / RECORD)}
    write_checked_json(content, folder / RECORD)


def read_record(folder: str | Path) -> dict[str, Any]:
    """Read the record of a folder's weights, see `record_files` and `weights.fetch_weights`.

    Raises
    ------
    WeightsError
        If there is no record, or it is damaged.
    """
    try:
        return read_checked_json(Path(folder) / RECORD)
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} has no {RECORD}: download the weights first, which writes it."
        ) from None
    except DataError as error:
        raise WeightsError(str(error)) from None


def check_recorded(path: str | Path, record: str = RECORD) -> None:
    """Verify a file by the record in its folder or the folder above.

    Without a record, or if the record does not list the file, it is accepted.

    Parameters
    ----------
    path
        The file.
    record
        Name of the checksummed JSON file with `sha256` by file.

    Raises
    ------
    DataError
        If the file differs from the recorded one, or the record is damaged.
    """
    path = Path(path)
    for folder in list(path.parents)[:2]:
        place = folder / record
        if not place.is_file():
            continue
        expected = (
            read_checked_json(place).get("sha256", {}).get(path.relative_to(folder).as_posix())
        )
        if expected is not None and path.is_file():
            status = path.stat()
            found = _sha256(str(path), status.st_ino, status.st_size, status.st_mtime_ns)
            if found != expected:
                raise DataError(
                    f"{path} is damaged: its SHA-256 is {found}, {place} says {expected}. Delete "
                    "the folder and rerun the workflow."
                )
        return


@lru_cache(maxsize=256)
def _sha256(path: str, *_: int) -> str:
    """SHA-256 of a file, cached by inode, size and time."""
    return sha256_of_file(path)
