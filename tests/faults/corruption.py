"""Which byte is corrupted, and which job is asked to read it."""

import os
import random
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .workflow import Job

# Pages are read by people: nothing is computed from them.
LAST = ("report", "all")


@dataclass(frozen=True)
class Corruption:
    """A byte to change, and the job that is asked for again.

    Attributes
    ----------
    kind
        `archive`, `array shard`, `checkpoint`, `network` or `table`.
    file
        Relative to the folder of the workflow.
    at
        The byte, counted from 0.
    mask
        Its bits that are turned over.
    job
        What reads the file.
    """

    kind: str
    file: str
    at: int
    mask: int
    job: Job


def kind_of(file: str) -> str | None:
    """The kind of a result; none for what nothing is computed from."""
    path = PurePosixPath(file)
    if "training" in path.parts:
        return "checkpoint"
    if path.parts[1] in ("autoencoders", "encoders"):
        return "network"
    kinds = {".zip": "archive", ".npz": "archive", ".npy": "array shard", ".parquet": "table"}
    return kinds.get(path.suffix)


def readers(file: str, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that read a file.

    Rules name the file that stands for others: an index for its array shard, one file for a
    network's folder, the field table for the archives that it points into.
    """
    path = PurePosixPath(file)
    known = {file, str(path.parent)}
    if path.suffix == ".npy":
        known.add(str(path.with_suffix(".parquet")))
    if path.parts[1] in ("autoencoders", "encoders"):
        known |= {p for job in jobs for p in job.inputs if PurePosixPath(p).parent == path.parent}
    if path.parent.name == "images":
        known.add(str(path.parent.parent / "fields.parquet"))
    return [job for job in jobs if known & set(job.inputs)]


def draw(folder: Path, jobs: Sequence[Job], chance: random.Random) -> Corruption:
    """Choose a kind of file, a file of it, a byte and a reader, each with equal chances."""
    results = sorted(p for p in (folder / "results").rglob("*") if p.is_file() and p.stat().st_size)
    by_kind: dict[str, list[tuple[str, list[Job]]]] = {}
    for path in results:
        file = path.relative_to(folder).as_posix()
        reading = readers(file, jobs)
        kind = kind_of(file)
        if kind is not None and reading:
            by_kind.setdefault(kind, []).append((file, reading))
    kind = chance.choice(sorted(by_kind))
    file, reading = chance.choice(by_kind[kind])
    at = chance.randrange((folder / file).stat().st_size)
    # A computation rather than a page, where there is one.
    job = chance.choice([job for job in reading if job.rule not in LAST] or reading)
    return Corruption(kind, file, at, chance.randrange(1, 256), job)


def strike(folder: Path, corruption: Corruption) -> None:
    """Change the byte, as a bad disk does: the file's time and rights stay as they are."""
    path = folder / corruption.file
    status = path.stat()
    path.chmod(status.st_mode | stat.S_IWUSR)
    with open(path, "r+b") as stream:
        stream.seek(corruption.at)
        old = stream.read(1)[0]
        stream.seek(corruption.at)
        stream.write(bytes([old ^ corruption.mask]))
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
