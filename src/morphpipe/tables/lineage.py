"""Lineage of artefacts: what each was made from, and whether the inputs of a job fit together."""

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from morphpipe.core.checksums import RECORD, checksum_of, read_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.lineage import LINEAGE, Lineage, parse_lineage, set_inputs
from morphpipe.core.storage import CHECKSUM
from morphpipe.tables.checkpoint_state import STATE
from morphpipe.tables.zip_directory import archive_checksum, directory_start

# Digits of a SHA-256: enough to find accidents, not forgeries.
_DIGITS = 16
# It contains wall-clock times, which differ between equal trainings.
_TIMED = "log.csv"


def read_from(inputs: Iterable[str | Path]) -> None:
    """Check the lineages of a job's inputs for consistency, and record them in its outputs.

    An intact input may belong to another run: a split of another seed, features of other images.
    Every table, archive, network and checkpoint stores the identities of its inputs. Two inputs are
    inconsistent if they list the same file with different identities, or one lists another version
    of an existing file.

    Parameters
    ----------
    inputs
        Files and folders of the rule. Those without an identity (raw images, user tables) are not
        compared.

    Raises
    ------
    DataError
        If two inputs are inconsistent.
    """
    found = list(artefacts(inputs))
    known: dict[str, tuple[str | None, str | None]] = {
        os.path.abspath(path): (identity_of(path), None) for path in found
    }
    for path in found:
        lineage = read_lineage(path)
        if lineage is None:
            continue
        check_name(path, lineage)
        for place, identity in lineage.inputs.items():
            other, by = known.setdefault(place, (identity, str(path)))
            if other != identity:
                raise DataError(_conflict(str(path), by, place))
    set_inputs({place: identity for place, (identity, _) in known.items() if identity})


def check_name(path: Path, lineage: Lineage) -> None:
    """Raise DataError if a file was written under another name."""
    if lineage.name != path.name:
        raise DataError(
            f"{path} was written as {lineage.name}: it is another result. Delete it and rerun the "
            "workflow."
        )


def _conflict(path: str, other: str | None, place: str) -> str:
    place = shown(place)
    if other is None:
        return (
            f"{path} was made from another version of {place} than the present one: one of them is "
            "from another run, or was changed since. Delete the wrong one and rerun the workflow."
        )
    return (
        f"{path} and {other} were made from different versions of {place}: one of them is from "
        "another run. Delete the wrong one and rerun the workflow."
    )


def shown(path: str | Path) -> str:
    """Show a path relative to the working folder if possible."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def artefacts(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Iterate over files with a lineage among some paths and in their folders."""
    seen = set()
    for path in map(Path, paths):
        for file in _carriers(path):
            if file not in seen:
                seen.add(file)
                yield file


def _carriers(path: Path) -> list[Path]:
    if path.is_dir():
        records = [path / name for name in (STATE, RECORD) if (path / name).is_file()]
        return records or sorted(path.glob("*.parquet"))
    if path.suffix in (".parquet", ".zip") or path.name in (STATE, RECORD):
        return [path] if path.is_file() else []
    # One file of a network represents all.
    return [record for parent in path.parents[:2] if (record := parent / RECORD).is_file()][:1]


def identity_of(path: Path) -> str | None:
    """Return a short identity of a file, or None if it was not written by morphpipe.

    Nothing is hashed again: tables, checkpoints and networks store checksums, and the directory of
    an archive has the checksums of its members.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    if path.suffix == ".json":
        content = read_checked_json(path)
        sums = {name: value for name, value in content["sha256"].items() if name != _TIMED}
        about = {key: content.get(key) for key in ("step", "identity")}
        return checksum_of(about | {"sha256": sums})[:_DIGITS]
    metadata = _metadata(path)
    if path.suffix == ".zip":
        return archive_checksum(path, path.parent).directory_sha256[:_DIGITS] if metadata else None
    checksum = metadata.get(CHECKSUM)
    return None if checksum is None else checksum.decode()[:_DIGITS]


def read_lineage(path: Path) -> Lineage | None:
    """Read the lineage of a table, archive, network or checkpoint, or None.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    recorded: Any
    if path.suffix == ".json":
        recorded = read_checked_json(path).get("lineage")
    else:
        text = _metadata(path).get(LINEAGE.encode())
        recorded = None if text is None else json.loads(text)
    return parse_lineage(recorded, path)


def _metadata(path: Path) -> dict[bytes, bytes]:
    """Metadata of a table, or of the table inside an archive; empty for third-party archives."""
    try:
        if path.suffix != ".zip":
            return dict(pq.read_metadata(path).metadata or {})
        # The table is an archive's last, stored member: only the end is read, since zipfile would
        # parse the entries of all images.
        end = directory_start(path)
        with open(path, "rb") as stream:
            stream.seek(max(end - 8, 0))
            tail = stream.read(8)
            if tail[4:] != b"PAR1":
                return {}
            length = int.from_bytes(tail[:4], "little") + 8
            stream.seek(max(end - length, 0))
            footer = stream.read(length)
        return dict(pq.read_metadata(io.BytesIO(b"PAR1" + footer)).metadata or {})
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): it is damaged; delete it and rerun the workflow."
        ) from None
