"""Making the papers' tables: `item.json` and `table.csv`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.storage import atomic_path
from morphpipe.report.papers.blocks import add_numbers, rows_of
from morphpipe.report.papers.cells import PaperTable
from morphpipe.report.papers.checks import item_checks
from morphpipe.report.papers.comparability import about_item, verdicts
from morphpipe.report.papers.comparison_cells import add_comparison, add_ranks, add_settings
from morphpipe.report.papers.items import Block, Query, item_named
from morphpipe.report.papers.run import PaperRun

FILLERS: Mapping[str, Callable[[PaperTable, PaperRun, Block, str, Query], None]] = {
    "numbers": add_numbers,
    "comparison": add_comparison,
    "settings": add_settings,
    "ranks": add_ranks,
}
"""Functions that fill a row of a block, by its `fill`."""


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
    for block in item.table:
        for row, query in rows_of(block):
            FILLERS[block.fill](table, run, block, row, query)
    checks = item_checks(table, run)
    table.finish("not measured in this run")
    about = about_item(item, run)
    sizes = [(c.estimate.n_left, c.estimate.n_right) for c in table.cells]
    about["statement"] += _sizes(sizes)
    return table, about | {
        "notes": [*table.notes, *item.notes],
        "checks": checks,
        "rows": table.rows,
        "columns": table.columns,
        "cells": [cell.as_dict() for cell in table.cells],
    }


def _sizes(sizes: list[tuple[int | None, int | None]]) -> list[str]:
    """Describe the numbers of images behind a table's values."""
    known = [(a, b) for a, b in sizes if a is not None and b is not None]
    if not known:
        return []
    sides = [(min(side), max(side)) for side in zip(*known, strict=True)]
    texts = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in sides]
    return [f"Numbers of images: {texts[0]} vs {texts[1]}."]


def make_table(name: str, run: PaperRun, item_path: str | Path, table_path: str | Path) -> None:
    """Write `item.json` and `table.csv` of a table."""
    table, content = build_table(name, run)
    with atomic_path(table_path) as temporary:
        columns = list(table.cells[0].as_dict()) if table.cells else ["row", "column", "system"]
        pd.DataFrame(content["cells"], columns=columns).to_csv(temporary, index=False)
    write_checked_json(content, item_path)
