"""Staging of array shards on a local disk of the compute node."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet

_BLOCK = 1 << 22


def stage_shards(
    indices: Sequence[Sequence[str | Path]], folder: str
) -> tuple[Path, list[list[Path]]] | str:
    """Copy shards and their indices, verifying checksums on the way.

    Parameters
    ----------
    indices
        Indices of array shards, by kind.
    folder
        Destination; `$NAME` stands for an environment variable.

    Returns
    -------
    tuple of Path and list of list of Path, or str
        The new folder and its indices; or a message why nothing was copied: an unset variable, a
        missing folder, or insufficient space.

    Raises
    ------
    DataError
        If a shard is missing or damaged.
    """
    place = os.path.expandvars(folder)
    unset = re.search(r"\$\{?(\w+)", place)
    if unset is not None:
        return f"paths.staging is {folder}, but {unset[1]} is not set here"
    files = [[Path(index) for index in kind] for kind in indices]
    try:
        needed = sum(
            path.stat().st_size
            for kind in files
            for i in kind
            for path in (i, i.with_suffix(".npy"))
        )
        free = shutil.disk_usage(place).free
    except FileNotFoundError as error:
        if error.filename != place:
            raise DataError(
                f"{error.filename} is missing: delete the shard's other file, and rerun the "
                "workflow."
            ) from None
        return f"paths.staging is {folder}, but the folder {place} does not exist on this node"
    if needed > free:
        return (
            f"paths.staging: the shards take {needed / 1e9:.1f} GB, but {place} has "
            f"{free / 1e9:.1f} GB left"
        )
    made: Path | None = None
    try:
        made = Path(tempfile.mkdtemp(prefix="morphpipe-", dir=place))
        return made, [_copy_kind(kind, made / str(n)) for n, kind in enumerate(files)]
    except BaseException as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        # Leave room for others.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"paths.staging: {place} is full"
        if isinstance(error, PermissionError):
            return f"paths.staging: {place} cannot be written to"
        raise


def _copy_kind(indices: Sequence[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    copies = []
    for number, index in enumerate(indices):
        copy = folder / f"shard-{number}.parquet"
        shutil.copyfile(index, copy)
        expected = read_parquet(copy, ["sha256"])["sha256"].unique().to_pylist()
        source = index.with_suffix(".npy")
        checksum = _copy(source, copy.with_suffix(".npy"))
        if expected and expected != [checksum]:
            raise DataError(
                f"{source} is not the file that {index} describes (other checksum): delete both "
                "and rerun the workflow."
            )
        copies.append(copy)
    return copies


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with open(source, "rb") as left, open(target, "wb") as right:
        while block := left.read(_BLOCK):
            digest.update(block)
            right.write(block)
    return digest.hexdigest()
