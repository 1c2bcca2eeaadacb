"""The chain from a report's metric tables back to the images: what was made from what."""

import os
from collections.abc import Iterable
from pathlib import Path

from morphpipe.core.lineage import Lineage
from morphpipe.report import tables
from morphpipe.report.inputs import ExperimentFiles, ReportInputs
from morphpipe.tables.lineage import artefacts, identity_of, read_lineage


def lineage_table(inputs: ReportInputs) -> tables.Table | None:
    """Every file behind the report's numbers, with what it was made from directly.

    Shards of one folder share a row. None where no file carries a lineage.
    """
    paths = [path for files in inputs.experiments for path in _files(files)]
    paths += [comparison.tests for comparison in inputs.comparisons]
    known = _ancestry(artefacts(paths))
    if not any(lineage.inputs for lineage in known.values()):
        return None
    root = os.path.commonpath([os.path.dirname(place) for place in known])
    software = {_software(lineage) for lineage in known.values() if lineage.software}
    rows: dict[str, tuple[int, list[tables.Cell | str]]] = {}
    groups: dict[str, list[str]] = {}
    for place in known:
        groups.setdefault(_group(place, root), []).append(place)
    for name, places in groups.items():
        parents = {p for place in places for p in _direct(place, known)}
        shown = sorted({_group(p, root) for p in parents} - {name})
        row: list[tables.Cell | str] = [
            tables.Cell(name, "mono"),
            tables.Cell(
                _identity(places[0]) if len(places) == 1 else f"{len(places)} files", "mono"
            ),
            tables.Cell(", ".join(shown) or "–", "mono"),
        ]
        if len(software) > 1:
            made_by = sorted({_software(known[place]) for place in places})
            row.append(tables.Cell("; ".join(made_by), "long"))
        rows[name] = max(len(known[place].inputs) for place in places), row
    caption = (
        "What was made from what, from the images to the metric tables. Every file carries the "
        "identities of all that it was made from (the beginning of a SHA-256), and a job stops "
        "where two of its inputs do not fit; those of this report do. "
    )
    headers = ["file", "identity", "made from"]
    if len(software) > 1:
        headers.append("made by")
        caption += "Not all were made by the same versions."
    elif software:
        caption += f"All were made by {software.pop()}."
    ordered = [row for _, row in sorted(rows.values(), key=lambda entry: entry[0])]
    return tables.table(caption, headers, ordered)


def _files(files: ExperimentFiles) -> list[Path]:
    """Fields, split, samples, checkpoints and metric tables of an experiment."""
    morphology = () if files.morphology is None else (files.morphology.metrics,)
    return [
        *(files.fields, files.split, *files.samples, *files.checkpoints),
        *(*files.metrics, *morphology),
    ]


def _ancestry(paths: Iterable[Path]) -> dict[str, Lineage]:
    """The lineage of files and of all that they were made from, by absolute path."""
    known: dict[str, Lineage] = {}
    waiting = [os.path.abspath(path) for path in paths]
    while waiting:
        place = waiting.pop()
        if place in known:
            continue
        path = Path(place)
        known[place] = (read_lineage(path) if path.is_file() else None) or Lineage(path.name)
        waiting += known[place].inputs
    return known


def _identity(place: str) -> str:
    """The identity of a file as the table shows it."""
    path = Path(place)
    return (identity_of(path) if path.is_file() else None) or "not there any more"


def _direct(place: str, known: dict[str, Lineage]) -> set[str]:
    """What a file was made from, but for what that was made from in turn."""
    inputs = known[place].inputs.keys()
    return set(inputs) - {i for parent in inputs for i in known[parent].inputs}


def _group(place: str, root: str) -> str:
    """A file's name from the root; shards share one, and a network or checkpoint is its folder."""
    path = Path(os.path.relpath(place, root))
    if path.suffix == ".json":
        path = path.parent
    parts = ["shard-*" if part.startswith("shard-") else part for part in path.parts]
    return "/".join(parts)


def _software(lineage: Lineage) -> str:
    return ", ".join(f"{name} {version}" for name, version in lineage.software.items())
