"""Tables of metrics with parts of their own: a row per scope, a column per comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.report.tables import Cell, Mark, Table, count, number, once, table, value_cell

_HEADS = {
    "generated-real@floor-n": "generated",
    "generated-real": "generated",
    "generated-training": "generated",
    "real-real": "real against real",
    "real-training": "held-out real",
    "copy-real": "copies of training images",
    "copy-training": "copies of training images",
    "shuffled-real": "shuffled",
    "untreated-real": "untreated cells",
}
_ROLES = ("generated", "real", "copy", "shuffled")
_SCOPE = ("metric", "extractor", "view", "task", "variant", "cell_type", "perturbation")
# What the settings' chance is the chance of: of an F1 score it is none.
_CHANCE = {
    "accuracy": "chance",
    "cross_validated_accuracy": "chance",
    "memorised_share": "expected of new images",
}
_WORDS = {"cate": "CATE", "f1": "F1", "mse": "MSE", "moa": "mechanism"}
# Columns that are there even where nothing differs in them, unless everything is pooled.
_NAMED = ("metric", "extractor", "perturbation")
# Before the name of what a probe was trained and tested on: other columns have such names too.
_PROBE = "probe "


def role(comparison: str) -> str:
    """What a comparison is in a figure: generated, floor, copy or shuffled; empty for others."""
    first = comparison.partition("-")[0].partition("@")[0]
    return {"real": "floor"}.get(first, first) if first in _ROLES else ""


def _asked(summary: pd.DataFrame) -> pd.Series:
    """The column that a value stands in: its comparison, or what a probe was trained on."""
    return summary["comparison"].mask(summary["comparison"] == "", _PROBE + summary["regime"])


def _head(asked: str) -> str:
    """A column's name in words."""
    if asked in _HEADS:
        return _HEADS[asked]
    base, _, where = asked.removeprefix(_PROBE).partition("@")
    if asked.startswith(_PROBE):
        base = base.replace("+", " + ").replace("-", " → ")
    else:
        base = _HEADS.get(base, base)
    return f"{base}, {where.replace('-', ' ')}" if where else base


def _place(asked: str) -> int:
    """Generated first, then what it is held against."""
    names = ["generated", "floor", "", "copy", "shuffled"]
    return names.index(role(asked))


def measure_tables(
    summary: pd.DataFrame,
    caption: str,
    mark: Mark,
    *,
    variant: str = "variant",
    extractor: str = "encoder",
) -> list[Table]:
    """A row per metric, encoder, view and scope; a column per comparison or regime.

    Metrics that are compared alike share a table. Columns in which nothing differs are left out.

    Parameters
    ----------
    summary
        Rows of `over_seeds`, not empty.
    caption
        Of the tables.
    mark
        See `Mark`.
    variant
        What tells rows apart beside their columns.
    extractor
        What made the values: an encoder, or an autoencoder.
    """
    words = {"extractor": extractor, "variant": variant, "cell_type": "cell type"}
    rows = summary.assign(asked=_asked(summary))
    if {"generated-real@floor-n", "generated-real"} <= set(rows["asked"]):
        # Of the same number as the floor: like beside like.
        rows = rows[rows["asked"] != "generated-real"]
    kinds = rows.groupby("metric", sort=False)["asked"].agg(
        lambda names: " ".join(sorted(set(names)))
    )
    return [
        _table(rows[rows["metric"].map(kinds) == kind], caption, mark, words)
        for kind in dict.fromkeys(kinds)
    ]


def _table(rows: pd.DataFrame, caption: str, mark: Mark, words: Mapping[str, str]) -> Table:
    asked = sorted(dict.fromkeys(rows["asked"]), key=_place)
    scopes = [
        name
        for name in _SCOPE
        if rows[name].nunique() > 1 or (name in _NAMED and rows[name].iloc[0] not in ("", "all"))
    ]
    # All of a metric together, in the order in which metrics come.
    order = {name: i for i, name in enumerate(dict.fromkeys(rows["metric"]))}
    rows = rows.sort_values("metric", key=lambda names: names.map(order), kind="stable")
    made: list[list[Cell | str]] = []
    # By hand: there may be thousands of rows, and pandas takes milliseconds for each group.
    parts: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows.to_dict("records"):
        scope = tuple(row[name] for name in _SCOPE)
        parts.setdefault(scope, {})[row["asked"]] = row
    for scope, by in parts.items():
        of = dict(zip(_SCOPE, scope, strict=True))
        cells: list[Cell | str] = [_scope_cell(name, of[name], mark) for name in scopes]
        cells += once([_value(by.get(name)) for name in asked])
        sizes = [(by[name]["n_left"], by[name]["n_right"]) for name in asked if name in by]
        made.append([*cells, Cell(_sizes(sizes), "number")])
    heads = [words.get(name, name) for name in scopes] + [_head(name) for name in asked]
    return table(caption, [*heads, "images"], made, len(asked) + 1)


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
    """Images of the first comparison that tells them."""
    for left, right in sizes:
        if np.isfinite(left):
            return count(left) if not np.isfinite(right) else f"{count(left)} / {count(right)}"
    return "–"
