"""Tables of the report as plain values; templates render them as HTML."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.report.evidence import Evidence
from morphpipe.report.results import (
    COPY,
    DISTANCE_NAMES,
    FLOOR,
    FRECHET,
    GENERATED,
    GENERATED_AT_FLOOR,
    KERNEL,
    SHUFFLED,
    first_by,
    select,
    single,
)

MOST_ROWS = 400
# Rounding error of sums in double precision.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Cell:
    """One cell: its text and `kind`: text, number, long, mono, fault or absent (missing value).

    A `fault` is shown in red. `note` is shown small below the text, line by line, for example an
    interval. `value`, `low` and `high` are the unrounded number and interval, for the CSV file.
    """

    text: str
    kind: str = "text"
    note: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Table:
    """A table: caption, headers, rows of cells, and file `name`."""

    caption: str
    headers: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    name: str = ""

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """Rows that are shown on the page; the file contains all rows."""
        return self.rows[:MOST_ROWS]


def number(value: float) -> str:
    """Format with three significant digits; numbers from 1,000 on are rounded to integers."""
    if not np.isfinite(value):
        return "–"
    value = 0.0 if abs(value) < _ROUNDING else value
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.2e}"
    decimals = 2 if value == 0 else min(max(0, 2 - int(np.floor(np.log10(abs(value))))), 5)
    return f"{value:.{decimals}f}"


def count(value: float) -> str:
    """Format a number of images or perturbations; a dash if unknown."""
    return f"{value:,.0f}" if np.isfinite(value) else "–"


def interval(row: Mapping[str, Any] | pd.Series) -> str:
    """Format the interval; empty if there is none."""
    if not np.isfinite(row["ci_low"]):
        return ""
    if not np.isfinite(row["ci_high"]):
        return f"{number(row['ci_low'])} or more"
    return f"{number(row['ci_low'])} to {number(row['ci_high'])}"


def seeds_note(row: Mapping[str, Any] | pd.Series) -> str:
    """Format the interval over seeds; empty with a single seed."""
    low, high = row.get("seeds_low", np.nan), row.get("seeds_high", np.nan)
    return f"over seeds {number(low)} to {number(high)}" if np.isfinite(low) else ""


def value_cell(row: Mapping[str, Any] | pd.Series | None) -> Cell:
    """Make a cell with value and interval, or with the reason for a missing value."""
    if row is None:
        return Cell("not measured", "absent")
    if not np.isfinite(row["value"]):
        return Cell(row["reason"] or "no value, reason unknown", "absent")
    notes = [note for note in (interval(row), seeds_note(row), row["reason"]) if note]
    low, high = (
        float(row[end]) if np.isfinite(row[end]) else None for end in ("ci_low", "ci_high")
    )
    return Cell(number(row["value"]), "number", "; ".join(notes), float(row["value"]), low, high)


def once(cells: Sequence[Cell]) -> list[Cell]:
    """Replace repeated reasons in a row with dashes."""
    seen: set[str] = set()
    found = []
    for cell in cells:
        repeated = cell.kind == "absent" and cell.text in seen
        found.append(Cell("–", "number") if repeated else cell)
        seen.add(cell.text)
    return found


def table(
    caption: str, headers: Sequence[str], rows: Sequence[Sequence[Cell | str]], numbers: int = 0
) -> Table:
    """Make a table; the last `numbers` headers are aligned as numbers."""
    heads = [Cell(h, "number" if i >= len(headers) - numbers else "text")
             for i, h in enumerate(headers)]  # fmt: skip
    if len(rows) > MOST_ROWS:
        caption += f" The first {MOST_ROWS} of {len(rows)} rows; the CSV file contains all rows."
    cells = [tuple(c if isinstance(c, Cell) else Cell(str(c)) for c in row) for row in rows]
    return Table(caption, tuple(heads), tuple(cells))


def _pooled(name: str, what: str) -> str:
    return f"all {what}" if name == "all" else name


Mark = Callable[[str], str]
"""Formats the name of an encoder, marked if it was used for alignment."""


def distance_table(
    summary: pd.DataFrame, *, relative: bool, by_perturbation: bool, mark: Mark
) -> Table:
    """Fréchet (`relative`) or kernel distances with floor and controls.

    With `by_perturbation`, rows of single perturbations instead of all perturbations pooled.
    """
    metrics = FRECHET if relative else KERNEL
    rows = select(summary, metric=metrics)
    pooled = rows["perturbation"] == "all"
    rows = rows[~pooled if by_perturbation else pooled]
    scope = ("metric", "extractor", "view", "cell_type", "perturbation")
    by_scope = first_by(rows, *scope, "comparison")
    relatives = tuple(f"relative_{metric}" for metric in metrics)
    ratios = first_by(select(summary, metric=relatives), *scope) if relative else {}
    found = []
    for key in dict.fromkeys(place[:-1] for place in by_scope):
        metric, extractor, view, cell_type, perturbation = key
        cells: list[Cell | str] = [
            Cell(mark(extractor), note=DISTANCE_NAMES.get(metric, metric)),
            view,
            _pooled(cell_type, "cell types"),
        ]
        if by_perturbation:
            cells.append(perturbation)
        by_comparison = {
            c: by_scope.get((*key, c))
            for c in (FLOOR, GENERATED_AT_FLOOR, COPY, SHUFFLED, GENERATED)
        }
        values: list[Cell] = []
        if relative:
            values.append(value_cell(ratios.get((f"relative_{metric}", *key[1:]))))
        floor = by_comparison[FLOOR]
        values += [value_cell(by_comparison[c]) for c in (GENERATED_AT_FLOOR, FLOOR, COPY)]
        values.append(
            value_cell(by_comparison[SHUFFLED])
            if by_comparison[SHUFFLED] is not None or by_perturbation
            else Cell("–", "number")
        )
        values.append(Cell("–" if floor is None else count(floor["n_left"]), "number"))
        everything = by_comparison[GENERATED]
        values.append(value_cell(everything))
        values.append(
            Cell("–", "number")
            if everything is None
            else Cell(f"{count(everything['n_left'])} / {count(everything['n_right'])}", "number")
        )
        found.append([*cells, *once(values)])
    headers = ["encoder", "view", "cell type"]
    headers += ["perturbation"] if by_perturbation else []
    headers += ["multiple of floor"] if relative else []
    headers += ["generated", "floor", "copy control", "shuffled control", "images per set"]
    headers += ["generated, all images", "images (generated / real)"]
    what = "Fréchet distance (FID only for Inception features)" if relative else "Kernel distance"
    caption = (
        f"{what}: lower is closer to held-out real images; 95 % intervals below. Generated, floor "
        "and controls use the same number of images."
    )
    return table(caption, headers, found, 8 if relative else 7)


def effect_table(summary: pd.DataFrame, evidence: Evidence, *, extractor: str, view: str) -> Table:
    """Treatment effects of one encoder and view, with floor and true effects."""
    rows = select(summary, extractor=extractor, view=view)
    found: list[list[Cell | str]] = []
    effects = select(rows, metric=("cate", "cate_unbiased"))
    known = evidence.is_simulated
    for cell_type in [*evidence.cell_types, "all"]:
        here = effects[effects["cell_type"] == cell_type]
        truth = evidence.true_effects(cell_type)
        shown = "mean over cell types" if cell_type == "all" else cell_type
        present = set(here.loc[here["comparison"] != "real-control-floor", "perturbation"])
        by = first_by(here, "metric", "comparison", "perturbation")
        for perturbation in [p for p in evidence.perturbations if p in present]:
            values = [
                value_cell(by.get((metric, side, perturbation)))
                for metric in ("cate", "cate_unbiased")
                for side in ("real", "generated")
            ]
            if known:
                value = truth.get(perturbation)
                values.append(
                    Cell("unknown", "absent") if value is None else Cell(number(value), "number")
                )
            found.append([shown, perturbation, *once(values)])
        floors = [
            single(here, metric=metric, comparison="real-control-floor")
            for metric in ("cate", "cate_unbiased")
        ]
        if present and floors[0] is not None:
            dash = Cell("–", "number")
            biased, unbiased = once([value_cell(floor) for floor in floors])
            cells: list[Cell | str] = [shown, "floor: control vs control"]
            cells += [biased, dash, unbiased, dash, *([dash] if known else [])]
            found.append(cells)
    headers = ["cell type", "perturbation", "CATE, real", "CATE, generated"]
    headers += ["unbiased, real", "unbiased, generated"]
    headers += ["true effect (own unit)"] if known else []
    note = " True effects are only comparable within a programme, see the figure." if known else ""
    caption = (
        "Treatment effect of each perturbation vs the negative control. CATE, as defined in the "
        "papers, is inflated by sampling noise; the unbiased value is corrected for it and can be "
        f"negative. Floor: split halves of the real control wells. 95 % intervals below.{note}"
    )
    return table(caption, headers, found, 5 if known else 4)


def agreement_table(summary: pd.DataFrame, mark: Mark) -> Table:
    """Rank correlations of generated effects with real and, if known, true effects."""
    rows = select(summary, metric="cate_rank_correlation")
    words = {
        "generated-real": "generated with real",
        "generated-true": "generated with true",
        "real-true": "real with true",
    }
    found = [
        [
            mark(row["extractor"]), row["view"],
            "mean over cell types" if row["cell_type"] == "all" else row["cell_type"],
            words.get(row["comparison"], row["comparison"]), value_cell(row),
            Cell(count(row["n_left"]), "number"),
        ]
        for _, row in rows.iterrows()
    ]  # fmt: skip
    caption = (
        "Spearman's rank correlation of the unbiased effects: 1 means the same order. With few "
        "perturbations it can only take a few values."
    )
    if rows["comparison"].isin(["generated-true", "real-true"]).any():
        caption += (
            " Correlations with true effects are over one series of strengths and the "
            "perturbation without effect: different programmes are not comparable."
        )
    headers = ["encoder", "view", "cell type", "orders compared", "correlation", "perturbations"]
    return table(caption, headers, found, 2)


def probe_table(summary: pd.DataFrame, mark: Mark) -> Table:
    """Accuracy of every probe, with chance."""
    rows = select(summary, metric="accuracy")
    found = []
    for _, row in rows.iterrows():
        same = {c: row[c] for c in ("extractor", "view", "task", "regime")}
        found.append(
            [
                mark(row["extractor"]), row["view"], row["task"].replace("_", " "),
                row["regime"].replace("-", " → ") or "all", value_cell(row),
                Cell(number(row["chance"]), "number"),
                value_cell(single(summary, metric="macro_f1", **same)),
                Cell(f"{count(row['n_left'])} / {count(row['n_right'])}", "number"),
            ]
        )  # fmt: skip
    caption = (
        "Linear probes, by training → test images. All but generated → generated are tested on the "
        "same held-out real images. Chance is the best accuracy without using the images."
    )
    headers = ["encoder", "view", "task", "trained → tested", "accuracy", "chance"]
    headers += ["macro F1", "images (training / test)"]
    return table(caption, headers, found, 4)


def quarantine_table(evidence: Evidence) -> Table:
    """Excluded fields with reasons."""
    rows = [
        [Cell(str(row.field_id), "long"), Cell(str(row.reason), "long")]
        for row in evidence.quarantine.itertuples()
    ]
    return table("Excluded fields with reasons.", ["field", "reason"], rows)


def split_table(evidence: Evidence) -> Table:
    """Fields and wells on each side of the split."""
    keys = evidence.real.keys()
    joined = evidence.split.merge(keys, on="field_id", how="left", validate="many_to_one")
    words = {
        "train": "train (generator, autoencoder)",
        "encoder": "encoder (feature encoders)",
        "test": "test (held out, evaluation)",
    }
    rows: list[list[Cell | str]] = []
    for side in [s for s in words if (joined["split"] == s).any()]:
        here = joined[joined["split"] == side]
        wells = here[["batch", "plate", "well"]].drop_duplicates()
        plates = here[["batch", "plate"]].drop_duplicates()
        counts = (len(here), len(wells), len(plates), here["perturbation"].nunique(),
                  here["cell_type"].nunique())  # fmt: skip
        rows.append([words[side], *(Cell(f"{n:,}", "number") for n in counts)])
    headers = ["side", "fields", "wells", "plates", "perturbations", "cell types"]
    apart = not joined["field_id"].duplicated().any()
    caption = "Real fields on each side; " + (
        "a well is on one side only."
        if apart
        else "the dataset is too small to split by well, so sides share fields."
    )
    return table(caption, headers, rows, 5)
