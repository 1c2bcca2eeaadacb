"""Tables of metrics: a row per scope, a column per comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.report.tables import Cell, Mark, Table, count, number, once, table, value_cell

_HEADS = {
    "generated-real@floor-n": "generated",
    "generated-real": "generated",
    "generated-training": "generated",
    "real-real": "real vs real",
    "real-training": "held-out real",
    "copy-real": "copies of training images",
    "copy-training": "copies of training images",
    "shuffled-real": "shuffled",
    "untreated-real": "untreated cells",
}
_ROLES = ("generated", "real", "copy", "shuffled")
_SCOPE = ("metric", "extractor", "view", "task", "variant", "cell_type", "perturbation")
# Label of the chance level by metric; F1 scores have none.
_CHANCE = {
    "accuracy": "chance",
    "cross_validated_accuracy": "chance",
    "memorised_share": "expected for new images",
}
_WORDS = {"cate": "CATE", "f1": "F1", "mse": "MSE", "moa": "mechanism"}
# Columns that are kept even if constant, unless everything is pooled.
_NAMED = ("metric", "extractor", "perturbation")
# Prefix of probe regimes, which share names with comparisons.
_PROBE = "probe "


def role(comparison: str) -> str:
    """Role of a comparison in figures: generated, floor, copy, shuffled or empty."""
    first = comparison.partition("-")[0].partition("@")[0]
    return {"real": "floor"}.get(first, first) if first in _ROLES else ""


def _column(summary: pd.DataFrame) -> pd.Series:
    """Column of each value: its comparison, or the regime of a probe."""
    return summary["comparison"].mask(summary["comparison"] == "", _PROBE + summary["regime"])


def _head(column: str) -> str:
    """Return the header of a column."""
    if column in _HEADS:
        return _HEADS[column]
    base, _, where = column.removeprefix(_PROBE).partition("@")
    if column.startswith(_PROBE):
        base = base.replace("+", " + ").replace("-", " → ")
    else:
        base = _HEADS.get(base, base)
    return f"{base}, {where.replace('-', ' ')}" if where else base


def _place(column: str) -> int:
    """Sort key of columns: generated first, then references."""
    names = ["generated", "floor", "", "copy", "shuffled"]
    return names.index(role(column))


def measure_tables(
    summary: pd.DataFrame,
    caption: str,
    mark: Mark,
    *,
    variant: str = "variant",
    extractor: str = "encoder",
) -> list[Table]:
    """Make tables with a row per metric, encoder, view and scope.

    Columns are comparisons or regimes; metrics with the same columns share a table. Constant
    columns are omitted.

    Parameters
    ----------
    summary
        Rows of `over_seeds`, not empty.
    caption
        Caption of the tables.
    mark
        See `Mark`.
    variant
        Header of the column `variant`.
    extractor
        Header of the column `extractor`.
    """
    words = {"extractor": extractor, "variant": variant, "cell_type": "cell type"}
    rows = summary.assign(column=_column(summary))
    if {"generated-real@floor-n", "generated-real"} <= set(rows["column"]):
        # Prefer the same number of images as the floor.
        rows = rows[rows["column"] != "generated-real"]
    kinds = rows.groupby("metric", sort=False)["column"].agg(
        lambda names: " ".join(sorted(set(names)))
    )
    return [
        _table(rows[rows["metric"].map(kinds) == kind], caption, mark, words)
        for kind in dict.fromkeys(kinds)
    ]


def _table(rows: pd.DataFrame, caption: str, mark: Mark, words: Mapping[str, str]) -> Table:
    columns = sorted(dict.fromkeys(rows["column"]), key=_place)
    scopes = [
        name
        for name in _SCOPE
        if rows[name].nunique() > 1 or (name in _NAMED and rows[name].iloc[0] not in ("", "all"))
    ]
    # Group rows by metric, in order of appearance.
    order = {name: i for i, name in enumerate(dict.fromkeys(rows["metric"]))}
    rows = rows.sort_values("metric", key=lambda names: names.map(order), kind="stable")
    made: list[list[Cell | str]] = []
    # Without pandas, which takes milliseconds per group: there may be thousands of rows.
    parts: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows.to_dict("records"):
        scope = tuple(row[name] for name in _SCOPE)
        parts.setdefault(scope, {})[row["column"]] = row
    for scope, by in parts.items():
        of = dict(zip(_SCOPE, scope, strict=True))
        cells: list[Cell | str] = [_scope_cell(name, of[name], mark) for name in scopes]
        cells += once([_value(by.get(name)) for name in columns])
        sizes = [(by[name]["n_left"], by[name]["n_right"]) for name in columns if name in by]
        made.append([*cells, Cell(_sizes(sizes), "number")])
    heads = [words.get(name, name) for name in scopes] + [_head(name) for name in columns]
    return table(caption, [*heads, "images"], made, len(columns) + 1)


def _scope_cell(name: str, value: str, mark: Mark) -> Cell:
    if name == "extractor":
        return Cell(mark(value) if value else "–")
    if value == "all":
        words = {"cell_type": "all cell types", "perturbation": "all perturbations"}
        return Cell(words.get(name, "all"))
    if name == "variant":
        return Cell(value or "none")
    if name in ("metric", "task"):
        return Cell(" ".join(_WORDS.get(word, word) for word in value.split("_")) or "–")
    return Cell(value or "–")


def _value(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell("–", "number")
    cell = value_cell(row)
    what = _CHANCE.get(row["metric"])
    if cell.kind == "absent" or what is None or not np.isfinite(row["chance"]):
        return cell
    note = "\n".join(text for text in (cell.note, f"{what} {number(row['chance'])}") if text)
    return Cell(cell.text, cell.kind, note, cell.value, cell.low, cell.high)


def _sizes(sizes: Sequence[tuple[float, float]]) -> str:
    """Numbers of images of the first comparison that has them."""
    for left, right in sizes:
        if np.isfinite(left):
            return count(left) if not np.isfinite(right) else f"{count(left)} / {count(right)}"
    return "–"
