"""Checksums of what carries none of its own: JSON files, and the files of a network's folder."""

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
    """SHA-256 of plain values as JSON, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_checked_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write an object as indented JSON, atomically, with a checksum of its content in it."""
    # As it will be read: tuples become lists, numbers that are keys become strings.
    plain = json.loads(json.dumps(content))
    with atomic_path(path) as temporary:
        text = json.dumps(plain | {_CHECKSUM: checksum_of(plain)}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")


def read_checked_json(path: str | Path) -> dict[str, Any]:
    """Read what `write_checked_json` has written.

    Raises
    ------
    FileNotFoundError
        When there is no file.
    DataError
        When it is damaged, or carries no checksum.
    """
    try:
        content = read_json(path)
        recorded = content.pop(_CHECKSUM, None)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error!r}): make it again.") from None
    if recorded != checksum_of(content):
        raise DataError(
            f"{path} is damaged, or was written by another version of morphpipe: the checksum in "
            "it is not that of its content. Make it again."
        )
    return dict(content)


def record_files(folder: str | Path, files: Iterable[str], **about: Any) -> None:
    """Write the checksums of files of a folder into its `weights.json`, and what else is known."""
    folder = Path(folder)
    checksums = {name: sha256_of_file(folder / name) for name in files}
    content = about | {"sha256": checksums, "lineage": lineage_of(folder / RECORD)}
    write_checked_json(content, folder / RECORD)


def read_record(folder: str | Path) -> dict[str, Any]:
    """What is recorded of a folder's weights, see `record_files` and `weights.fetch_weights`.

    Raises
    ------
    WeightsError
        When there is no record, or it is damaged.
    """
    try:
        return read_checked_json(Path(folder) / RECORD)
    except FileNotFoundError:
        raise WeightsError(
            f"There is no {RECORD} in {folder}: fetch the weights first, which writes it."
        ) from None
    except DataError as error:
        raise WeightsError(str(error)) from None


def check_recorded(path: str | Path, record: str = RECORD) -> None:
    """Compare a file with the checksum in the record beside it, or in the folder above.

    A folder of one's own without a record, and a file that the record does not name, are taken as
    they are.

    Parameters
    ----------
    path
        The file.
    record
        Name of the JSON with a checksum file that holds `sha256` by file.

    Raises
    ------
    DataError
        When the file is another than the one that was recorded, or the record is damaged.
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
                    "the folder, and let the workflow fetch or make it again."
                )
        return


@lru_cache(maxsize=256)
def _sha256(path: str, *_: int) -> str:
    """SHA-256 of a file, computed once as long as inode, size and time stay."""
    return sha256_of_file(path)
