"""The report's tables as plain values; the template turns them into HTML."""

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
# Sums in double precision leave this much of nothing.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and `kind`: text, number, long, mono, fault, absent (why no value).

    A `fault` is shown in red. `note` stands small below the text, line by line: an interval, for
    instance. `value`, `low` and `high` are the number and its interval unrounded, for the file.
    """

    text: str
    kind: str = "text"
    note: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Table:
    """A table: caption, headers and rows of cells; `name` is that of its file."""

    caption: str
    headers: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    name: str = ""

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that stand on a page; the file has them all."""
        return self.rows[:MOST_ROWS]


def number(value: float) -> str:
    """Three significant digits, whole numbers from 1,000 on in full; what rounding leaves is 0."""
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
    """A number of images or perturbations, a dash where it is not known."""
    return f"{value:,.0f}" if np.isfinite(value) else "–"


def interval(row: Mapping[str, Any] | pd.Series) -> str:
    """The interval as text, empty where there is none."""
    if not np.isfinite(row["ci_low"]):
        return ""
    if not np.isfinite(row["ci_high"]):
        return f"{number(row['ci_low'])} or more"
    return f"{number(row['ci_low'])} to {number(row['ci_high'])}"


def seeds_note(row: Mapping[str, Any] | pd.Series) -> str:
    """The interval over seeds as text, empty where there are not several."""
    low, high = row.get("seeds_low", np.nan), row.get("seeds_high", np.nan)
    return f"over seeds {number(low)} to {number(high)}" if np.isfinite(low) else ""


def value_cell(row: Mapping[str, Any] | pd.Series | None) -> Cell:
    """Value with interval, or the reason why there is none."""
    if row is None:
        return Cell("not measured", "absent")
    if not np.isfinite(row["value"]):
        return Cell(row["reason"] or "no value, no reason given", "absent")
    notes = [note for note in (interval(row), seeds_note(row), row["reason"]) if note]
    low, high = (
        float(row[end]) if np.isfinite(row[end]) else None for end in ("ci_low", "ci_high")
    )
    return Cell(number(row["value"]), "number", "; ".join(notes), float(row["value"]), low, high)


def once(cells: Sequence[Cell]) -> list[Cell]:
    """A reason that several values of a row share is told once."""
    told: set[str] = set()
    found = []
    for cell in cells:
        repeated = cell.kind == "absent" and cell.text in told
        found.append(Cell("–", "number") if repeated else cell)
        told.add(cell.text)
    return found


def table(
    caption: str, headers: Sequence[str], rows: Sequence[Sequence[Cell | str]], numbers: int = 0
) -> Table:
    """Make a table; the last `numbers` columns are headed as numbers."""
    heads = [Cell(h, "number" if i >= len(headers) - numbers else "text")
             for i, h in enumerate(headers)]  # fmt: skip
    if len(rows) > MOST_ROWS:
        caption += f" The first {MOST_ROWS} of {len(rows)} rows; the file (CSV) holds them all."
    cells = [tuple(c if isinstance(c, Cell) else Cell(str(c)) for c in row) for row in rows]
    return Table(caption, tuple(heads), tuple(cells))


def _pooled(name: str, what: str) -> str:
    return f"all {what}" if name == "all" else name


Mark = Callable[[str], str]
"""An extractor's name as shown, marked where it served alignment."""


def distance_table(
    summary: pd.DataFrame, *, relative: bool, by_perturbation: bool, mark: Mark
) -> Table:
    """Fréchet (`relative`) or kernel distances beside floor and controls.

    `by_perturbation` takes the rows of single perturbations instead of those over all of them.
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
    headers += ["generated", "floor", "copy control", "shuffled control", "images a side"]
    headers += ["generated, all images", "images (generated / real)"]
    what = "Fréchet distance (FID on Inception's features alone)" if relative else "Kernel distance"
    caption = (
        f"{what}: lower is closer to held-out real images; the 95 % interval stands below. "
        "Generated, floor and controls are measured with the same number of images."
    )
    return table(caption, headers, found, 8 if relative else 7)


def effect_table(summary: pd.DataFrame, evidence: Evidence, *, extractor: str, view: str) -> Table:
    """Treatment effects of one encoder and view, beside the floor and the truth."""
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
                    Cell("not known", "absent") if value is None else Cell(number(value), "number")
                )
            found.append([shown, perturbation, *once(values)])
        floors = [
            single(here, metric=metric, comparison="real-control-floor")
            for metric in ("cate", "cate_unbiased")
        ]
        if present and floors[0] is not None:
            dash = Cell("–", "number")
            biased, unbiased = once([value_cell(floor) for floor in floors])
            cells: list[Cell | str] = [shown, "floor: control against control"]
            cells += [biased, dash, unbiased, dash, *([dash] if known else [])]
            found.append(cells)
    headers = ["cell type", "perturbation", "CATE, real", "CATE, generated"]
    headers += ["unbiased, real", "unbiased, generated"]
    headers += ["true effect (own unit)"] if known else []
    note = " True effects compare within one programme only, see the figure." if known else ""
    caption = (
        "Treatment effect of each perturbation against the negative control. CATE is the papers' "
        "value, which sampling noise inflates; the unbiased value has that noise subtracted and "
        "can be negative. Floor: one half of the real control wells against the other. The 95 % "
        f"interval stands below.{note}"
    )
    return table(caption, headers, found, 5 if known else 4)


def agreement_table(summary: pd.DataFrame, mark: Mark) -> Table:
    """Rank correlations of effects: generated with real and, where known, with the truth."""
    rows = select(summary, metric="cate_rank_correlation")
    words = {
        "generated-real": "generated with real",
        "generated-true": "generated with the truth",
        "real-true": "real with the truth",
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
        "Spearman's rank correlation of the unbiased effects: 1 means the same order. "
        "With few perturbations it can only take a few values."
    )
    if rows["comparison"].isin(["generated-true", "real-true"]).any():
        caption += (
            " Those with the truth rank one series of strengths and the perturbation without "
            "effect: true effects of different programmes do not compare."
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
        "Linear probes, named by what they were trained on → tested on. All but generated → "
        "generated are tested on the same held-out real images. Chance is what can be had "
        "without looking at an image."
    )
    headers = ["encoder", "view", "task", "trained → tested", "accuracy", "chance"]
    headers += ["macro F1", "images (training / test)"]
    return table(caption, headers, found, 4)


def quarantine_table(evidence: Evidence) -> Table:
    """Fields that were excluded, with the reason."""
    rows = [
        [Cell(str(row.field_id), "long"), Cell(str(row.reason), "long")]
        for row in evidence.quarantine.itertuples()
    ]
    return table("Excluded fields and the reasons.", ["field", "reason"], rows)


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
        else "the data are too small to be split by well, and the sides share fields."
    )
    return table(caption, headers, rows, 5)
