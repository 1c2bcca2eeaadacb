"""Making an item: from a run's files to `item.json` with a table or a figure beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from morphpipe.checksums import write_sealed_json
from morphpipe.errors import DataError, MorphpipeError
from morphpipe.papers import image_figures as images
from morphpipe.papers import morphgen_biology as biology
from morphpipe.papers import morphgen_distances as distances
from morphpipe.papers import morphodiff_tables as morphodiff
from morphpipe.papers import point_figures as points
from morphpipe.papers.cells import PaperTable
from morphpipe.papers.checks import item_checks
from morphpipe.papers.comparability import item_verdict, verdicts
from morphpipe.papers.drawing import new_figure
from morphpipe.papers.items import ITEMS, NO_PUBLISHED, Item
from morphpipe.papers.labels import stand_ins
from morphpipe.papers.run import PaperRun
from morphpipe.storage import atomic_path

TABLES: Mapping[str, Callable[[PaperTable, PaperRun], None]] = {
    "morphgen_table1": distances.table_1,
    "morphgen_table2": distances.table_2,
    "morphgen_table3": distances.table_3,
    "morphgen_table4": biology.table_4,
    "morphgen_table5": biology.table_5,
    "morphgen_table6": distances.table_6,
    "morphgen_table7": biology.table_7,
    "morphgen_table8": distances.table_8,
    "morphgen_table9": distances.table_9,
    "morphgen_table10": distances.table_10,
    "morphgen_table11": biology.table_11,
    "morphgen_table12": biology.table_12,
    "morphgen_table13": biology.table_13,
    "morphgen_table14": biology.table_14,
    "morphgen_table15": distances.table_15,
    "morphgen_table16": distances.table_16,
    "morphgen_table17": distances.table_3,
    "morphgen_table18": biology.table_18,
    "morphgen_table19": biology.table_19,
    "morphgen_instrument": distances.instrument,
    "morphodiff_table1": morphodiff.table_1,
    "morphodiff_table2": morphodiff.table_2,
    "morphodiff_table4": morphodiff.table_4,
    "morphodiff_table5": morphodiff.table_5,
}
"""What fills each table, by the item's name."""


def _codec_figure(run: PaperRun, notes: list[str]) -> Figure:
    """Imported when it is asked for: no other item needs torch."""
    from morphpipe.papers.codec_figure import morphodiff_5

    return morphodiff_5(run, notes)


FIGURES: Mapping[str, Callable[[PaperRun, list[str]], Figure]] = {
    "morphgen_figure1": images.figure_1,
    "morphgen_figure2": images.figure_2,
    "morphgen_figure3": points.figure_3,
    "morphgen_figure4": points.figure_4,
    "morphgen_figure5": points.figure_5,
    "morphgen_figure6": points.figure_6,
    "morphgen_figure7": points.effects_figure("HEPG2"),
    "morphgen_figure8": points.effects_figure("HUVEC"),
    "morphgen_figure9": points.effects_figure("RPE"),
    "morphgen_figure10": points.effects_figure("U2OS"),
    "morphgen_figure11": points.effects_figure("HUVEC", "Nuclei"),
    "morphgen_figure12": points.figure_12,
    "morphgen_figure13": images.generated_grid("1108"),
    "morphgen_figure14": images.generated_grid("1124"),
    "morphgen_figure15": images.generated_grid("1137"),
    "morphgen_figure16": images.generated_grid("1138"),
    "morphodiff_figure2": images.morphodiff_2,
    "morphodiff_figure5": _codec_figure,
    "morphodiff_figure6": images.morphodiff_6,
}
"""What draws each figure, by the item's name."""

_DPI = 150


def _item_named(name: str) -> Item:
    if name not in ITEMS:
        raise DataError(f"The papers have no item {name!r}; there are {', '.join(ITEMS)}.")
    return ITEMS[name]


def _about(item: Item, run: PaperRun) -> dict[str, Any]:
    """What is known of an item before it is made."""
    verdict = item_verdict(run, item)
    names = run.of(item.paper).names
    filled = run.used(item)
    experiments = [facts.name for _, _, facts in filled]
    for paper, role, _ in filled:
        baseline = run.baseline(role) if paper == "morphodiff" else None
        experiments += [] if baseline is None else [baseline.name]
    return {
        "name": item.name,
        "paper": item.paper,
        "kind": item.kind,
        "number": item.number,
        "title": item.title,
        "caption": item.caption,
        "section": item.section,
        "experiments": list(dict.fromkeys(experiments)),
        "comparable": verdict.status,
        "statement": [*verdict.sentences, *stand_ins(names)],
    }


def build_table(name: str, run: PaperRun) -> tuple[PaperTable, dict[str, Any]]:
    """Fill a table.

    Returns
    -------
    tuple
        The table, and the content of its `item.json`.
    """
    item = _item_named(name)
    comparable = {key: v.allows_differences for key, v in verdicts(run, item).items()}
    table = PaperTable(item, comparable)
    TABLES[name](table, run)
    checks = item_checks(table, run)
    table.finish("this run has not measured it")
    if name in NO_PUBLISHED:
        table.notes.append(NO_PUBLISHED[name])
    about = _about(item, run)
    sizes = [(c.estimate.n_left, c.estimate.n_right) for c in table.cells]
    about["statement"] += _sizes(sizes)
    return table, about | {
        "notes": table.notes,
        "checks": checks,
        "rows": table.rows,
        "columns": table.columns,
        "cells": [cell.as_dict() for cell in table.cells],
    }


def _sizes(sizes: list[tuple[int | None, int | None]]) -> list[str]:
    """The numbers of images that a table's numbers rest on, as a sentence."""
    known = [(a, b) for a, b in sizes if a is not None and b is not None]
    if not known:
        return []
    sides = [(min(side), max(side)) for side in zip(*known, strict=True)]
    texts = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in sides]
    return [f"The numbers rest on {texts[0]} images on one side and {texts[1]} on the other."]


def make_table(name: str, run: PaperRun, item_path: str | Path, table_path: str | Path) -> None:
    """Write `item.json` and `table.csv` of a table."""
    table, content = build_table(name, run)
    with atomic_path(table_path) as temporary:
        columns = list(table.cells[0].as_dict()) if table.cells else ["row", "column", "system"]
        pd.DataFrame(content["cells"], columns=columns).to_csv(temporary, index=False)
    write_sealed_json(content, item_path)


def _reason_figure(reason: str) -> Figure:
    figure = new_figure(7, 0.8)
    figure.text(0.01, 0.5, reason, va="center", wrap=True)
    return figure


def make_figure(
    name: str, run: PaperRun, item_path: str | Path, png: str | Path, pdf: str | Path
) -> None:
    """Write `item.json`, and the figure as PNG and PDF.

    What cannot be drawn in this run is a figure that says why, with the reason in its item.
    """
    item, reason = _item_named(name), ""
    notes: list[str] = []
    try:
        figure = FIGURES[name](run, notes)
    except MorphpipeError as error:
        reason = str(error)
        figure = _reason_figure(reason)
    for path in (png, pdf):
        with atomic_path(path) as temporary:
            # Without the time of writing, so that the same figure is the same file.
            dates = {"CreationDate": None} if Path(path).suffix == ".pdf" else None
            figure.savefig(temporary, dpi=_DPI, metadata=dates)
    about = _about(item, run)
    if reason:
        about["comparable"] = "published only"
    content = {"notes": notes, "reason": reason, "checks": []}
    files = {"files": [Path(png).name, Path(pdf).name]}
    write_sealed_json(about | content | files, item_path)
