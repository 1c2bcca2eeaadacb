"""Lineage of the report: from metric tables back to the images."""

import os
from collections.abc import Iterable
from pathlib import Path

from morphpipe.core.lineage import Lineage
from morphpipe.report import tables
from morphpipe.report.inputs import ExperimentFiles, ReportInputs
from morphpipe.tables.lineage import artefacts, identity_of, read_lineage


def lineage_table(inputs: ReportInputs) -> tables.Table | None:
    """Files behind the report with their direct inputs; None without recorded lineage.

    Shards of a folder share a row.
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
        "Lineage from the images to the metric tables. Every file records the identities (first "
        "digits of a SHA-256) of all its inputs, and jobs stop if inputs are inconsistent; those "
        "of this report are consistent. "
    )
    headers = ["file", "identity", "made from"]
    if len(software) > 1:
        headers.append("made by")
        caption += "Software versions differ."
    elif software:
        caption += f"Software: {software.pop()}."
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
    """Return the lineage of files and of all their inputs, by absolute path."""
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
    """Return the identity of a file for the table."""
    path = Path(place)
    return (identity_of(path) if path.is_file() else None) or "deleted"


def _direct(place: str, known: dict[str, Lineage]) -> set[str]:
    """Return the direct inputs of a file."""
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
