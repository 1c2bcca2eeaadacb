"""Making a table of the papers: from a run's files to `item.json` and `table.csv`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.storage import atomic_path
from morphpipe.report.papers import morphgen_biology as biology
from morphpipe.report.papers import morphgen_distances as distances
from morphpipe.report.papers import morphodiff_tables as morphodiff
from morphpipe.report.papers.cells import PaperTable
from morphpipe.report.papers.checks import item_checks
from morphpipe.report.papers.comparability import verdicts
from morphpipe.report.papers.item_content import about_item, item_named
from morphpipe.report.papers.items import NO_PUBLISHED
from morphpipe.report.papers.run import PaperRun

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


def build_table(name: str, run: PaperRun) -> tuple[PaperTable, dict[str, Any]]:
    """Fill a table.

    Returns
    -------
    tuple
        The table, and the content of its `item.json`.
    """
    item = item_named(name)
    comparable = {key: v.allows_differences for key, v in verdicts(run, item).items()}
    table = PaperTable(item, comparable)
    TABLES[name](table, run)
    checks = item_checks(table, run)
    table.finish("this run has not measured it")
    if name in NO_PUBLISHED:
        table.notes.append(NO_PUBLISHED[name])
    about = about_item(item, run)
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
    write_checked_json(content, item_path)
