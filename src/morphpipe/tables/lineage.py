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

# Of a SHA-256: accidents are to be found, not forgeries.
_DIGITS = 16
# It holds wall-clock times, so that two equal trainings differ in it.
_TIMED = "log.csv"


def read_from(inputs: Iterable[str | Path]) -> None:
    """Compare what a job's inputs were made from, and record them in all that it writes.

    An input may be of another run though it is whole: a split of another seed, the features of
    other images. Every table, archive, network and checkpoint carries the identities of what it
    was made from, so that two of them are known not to fit where they name the same file with
    different identities, or one of them another version of the file that is there.

    Parameters
    ----------
    inputs
        Files and folders, those of the rule. What carries no identity (raw images, tables of
        one's own) is not compared.

    Raises
    ------
    DataError
        When two inputs do not fit, naming both.
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
    """Stop where a file was written under another name than it has.

    Raises
    ------
    DataError
        Naming both.
    """
    if lineage.name != path.name:
        raise DataError(
            f"{path} was written as {lineage.name}: it is another result. Delete it, and let the "
            "workflow make it again."
        )


def _conflict(path: str, other: str | None, place: str) -> str:
    place = shown(place)
    if other is None:
        return (
            f"{path} was made from another {place} than the one that is there: one of the two is "
            "of another run, or has been changed since. Delete the wrong one, and let the workflow "
            "make it again."
        )
    return (
        f"{path} and {other} were made from different versions of {place}: one of the two is of "
        "another run. Delete the wrong one, and let the workflow make it again."
    )


def shown(path: str | Path) -> str:
    """A path as it is read best: from the working folder, where it lies in it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def artefacts(paths: Iterable[str | Path]) -> Iterator[Path]:
    """The files among some paths, and in folders among them, that can carry a lineage."""
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
    # A file of a network stands for all of them.
    return [record for parent in path.parents[:2] if (record := parent / RECORD).is_file()][:1]


def identity_of(path: Path) -> str | None:
    """What a file is, in few digits; none where it was not written by morphpipe.

    Nothing is hashed anew: tables carry their checksum, as do checkpoints and networks; the
    directory of an archive holds the checksums of its members.

    Raises
    ------
    DataError
        When the file is damaged.
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
    """What a table, archive, network or checkpoint was made from; none where it does not say.

    Raises
    ------
    DataError
        When the file is damaged.
    """
    recorded: Any
    if path.suffix == ".json":
        recorded = read_checked_json(path).get("lineage")
    else:
        text = _metadata(path).get(LINEAGE.encode())
        recorded = None if text is None else json.loads(text)
    return parse_lineage(recorded, path)


def _metadata(path: Path) -> dict[bytes, bytes]:
    """Metadata of a table, or of the table inside an archive; nothing of another's archive."""
    try:
        if path.suffix != ".zip":
            return dict(pq.read_metadata(path).metadata or {})
        # The table is an archive's last member, and stored as it is: only its end is read, since
        # zipfile would parse the entries of all images.
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
            f"{path} cannot be read ({error}): it is damaged; delete it and let the workflow make "
            "it again."
        ) from None
