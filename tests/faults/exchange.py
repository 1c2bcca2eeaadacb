"""Whole results in the place of others, and tables that somebody edited."""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .corruption import LAST, kind_of, readers
from .workflow import Job

_FEATURES = "features"


@dataclass(frozen=True)
class Exchange:
    """What is put in the place of a result, and the job that is asked to read it.

    Attributes
    ----------
    kind
        `archive`, `array shard`, `checkpoint`, `features`, `network` or `table`; of an edit, what
        was changed.
    files
        Of the result, relative to the folder of the workflow.
    sources
        The files or folders that are copied over them; empty for an edit.
    job
        What reads the result.
    detail
        In words.
    edit
        What is done to the only file of an edit; none of a swap.
    """

    kind: str
    files: tuple[str, ...]
    sources: tuple[Path, ...]
    job: Job
    detail: str
    edit: "Edit | None" = None


def unit(file: str) -> tuple[str, tuple[str, ...]] | None:
    """The kind of result that a file belongs to, and all files or the folder of that result."""
    path = PurePosixPath(file)
    kind = kind_of(file)
    if kind in ("checkpoint", "network"):
        depth = next((i for i, p in enumerate(path.parts) if p.startswith("slice-")), 2)
        return kind, ("/".join(path.parts[: depth + 1]),)
    if _FEATURES in path.parts:
        return _FEATURES, (str(path.parent),)
    if kind == "array shard":
        return kind, (file, str(path.with_suffix(".parquet")))
    if kind == "table" and not path.name.startswith("shard-"):
        return kind, (file,)
    return (kind, (file,)) if kind == "archive" and path.suffix == ".zip" else None


def units(folder: Path, jobs: Sequence[Job]) -> dict[str, dict[tuple[str, ...], list[Job]]]:
    """Results by kind, each with the jobs that read it."""
    found: dict[str, dict[tuple[str, ...], list[Job]]] = {}
    for path in sorted(p for p in (folder / "results").rglob("*") if p.is_file()):
        file = path.relative_to(folder).as_posix()
        belongs = unit(file)
        reading = [job for job in readers(file, jobs) if job.rule not in LAST]
        if belongs is not None and reading:
            found.setdefault(belongs[0], {})[belongs[1]] = reading
    return found


def draw_swap(
    folder: Path, other: Path | None, jobs: Sequence[Job], chance: random.Random
) -> Exchange:
    """Choose a kind of result, one of it, what takes its place, and a reader.

    Parameters
    ----------
    folder
        The finished run.
    other
        A run of other seeds, whose results have the same names; none: one of the other results of
        the kind in the same run takes the place.
    """
    found = units(folder, jobs)
    if other is None:
        found = {kind: results for kind, results in found.items() if len(results) > 1}
    kind = chance.choice(sorted(found))
    files = chance.choice(sorted(found[kind]))
    job = chance.choice(found[kind][files])
    if (other is not None and chance.random() < 0.5) or len(found[kind]) == 1:
        assert other is not None
        sources, whose = tuple(other / file for file in files), "another run's"
    else:
        chosen = chance.choice(sorted(found[kind].keys() - {files}))
        sources, whose = tuple(folder / file for file in chosen), chosen[0]
    return Exchange(kind, files, sources, job, f"{files[0]}, {whose}, read by {job.rule}")


Edit = Callable[[pa.Table, random.Random], pa.Table]


def _labels(table: pa.Table, chance: random.Random) -> pa.Table:
    """Exchange what two perturbations are called."""
    names = table["perturbation"].to_pylist()
    one, other = chance.sample(sorted(set(names)), 2)
    renamed = [{one: other, other: one}.get(name, name) for name in names]
    return _with(table, "perturbation", renamed)


def _sides(table: pa.Table, chance: random.Random) -> pa.Table:
    """Exchange training and test side."""
    exchanged = {"train": "test", "test": "train"}
    return _with(table, "split", [exchanged.get(s, s) for s in table["split"].to_pylist()])


def _one_side(table: pa.Table, chance: random.Random) -> pa.Table:
    """Put a training field on the test side."""
    sides = table["split"].to_pylist()
    sides[sides.index("train")] = "test"
    return _with(table, "split", sides)


def _no_row(table: pa.Table, chance: random.Random) -> pa.Table:
    """Leave out a row."""
    kept = np.delete(np.arange(len(table)), chance.randrange(len(table)))
    return table.take(pa.array(kept))


def _number(table: pa.Table, chance: random.Random) -> pa.Table:
    """Change a number."""
    names = [f.name for f in table.schema if pa.types.is_floating(f.type) or f.name == "count"]
    name = chance.choice(names)
    values = table[name].to_pylist()
    row = chance.choice([i for i, value in enumerate(values) if value is not None])
    values[row] = -1 - values[row]
    return _with(table, name, values)


def _with(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(
        at, table.schema.field(at), pa.array(values, table.schema.field(at).type)
    )


def edits(folder: Path, file: str) -> Iterator[tuple[str, Edit]]:
    """What can be done to a table."""
    schema = pq.read_schema(folder / file)
    if "split" in schema.names:
        yield "sides exchanged", _sides
        yield "a training field to test on", _one_side
    elif "perturbation" in schema.names and "channels" in schema.names:
        yield "labels exchanged", _labels
    if pq.read_metadata(folder / file).num_rows:
        yield "a row left out", _no_row
        if any(pa.types.is_floating(f.type) for f in schema):
            yield "a number changed", _number


def draw_edit(folder: Path, jobs: Sequence[Job], chance: random.Random) -> Exchange:
    """Choose an edit, a table that it can be done to, and a reader."""
    found: dict[str, list[tuple[str, Edit, list[Job]]]] = {}
    for path in sorted((folder / "results").rglob("*.parquet")):
        file = path.relative_to(folder).as_posix()
        reading = [job for job in readers(file, jobs) if job.rule not in LAST]
        for name, edit in edits(folder, file) if reading else ():
            found.setdefault(name, []).append((file, edit, reading))
    kind = chance.choice(sorted(found))
    file, edit, reading = chance.choice(found[kind])
    job = chance.choice(reading)
    return Exchange(kind, (file,), (), job, f"{file}: {kind}, read by {job.rule}", edit)


def strike(folder: Path, exchange: Exchange, chance: random.Random) -> None:
    """Put the other result, or the edited table, in place, under the times of the old one."""
    if exchange.edit is not None:
        with _times_kept(folder / exchange.files[0]) as path:
            edited = exchange.edit(pq.read_table(path), chance)
            if chance.random() < 0.5:
                pq.write_table(edited, path)
            else:  # loses metadata
                edited.to_pandas().to_parquet(path)
        return
    for file, source in zip(exchange.files, exchange.sources, strict=True):
        with _times_kept(folder / file) as path:
            if path.is_dir():
                shutil.rmtree(path)
                shutil.copytree(source, path)
            else:
                shutil.copyfile(source, path)


@contextmanager
def _times_kept(path: Path) -> Iterator[Path]:
    times = {place: place.stat() for place in (path, *path.rglob("*"))}
    yield path
    for place, status in times.items():
        if place.exists():
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
