"""A model and its baseline as cells, from the table of a comparison."""

from functools import cache
from pathlib import Path

import pandas as pd

from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.core.statistics import t_interval
from morphpipe.report.papers.cells import FLOOR, PaperTable
from morphpipe.report.papers.distance_cells import column_of, metric_of
from morphpipe.report.papers.measured import Estimate, absent
from morphpipe.report.papers.run import PaperRun

MODEL, BASELINE = "MorphoDiff", "Stable Diffusion"


@cache
def _read(path: str | Path) -> pd.DataFrame:
    return read_parquet(path, own=True).to_pandas()


def _row(run: PaperRun, role: str, metric: str, encoder: str, view: str) -> pd.Series | str:
    """The row over all perturbations, or why there is none."""
    name = run.papers.morphodiff.roles[role]
    table = _read(run.paths(name, "comparison"))
    rows = table[
        (table["metric"] == metric)
        & (table["extractor"] == encoder)
        & (table["view"] == view)
        & (table["cell_type"] == "all")
        & (table["group"] == "all")
    ]
    if rows.empty:
        return f"the comparison {name} has no {metric} of {encoder}"
    row = rows.iloc[0]
    return _said(row["reason"]) if pd.isna(row["mean_model"]) else row


def add_comparison(
    table: PaperTable, run: PaperRun, role: str, place: str, *, measures_are_rows: bool = False
) -> None:
    """Add what a comparison found of FID and KID; nothing where its role is empty.

    Parameters
    ----------
    table, run
        Where to, and what of.
    role
        Of MorphoDiff's comparison.
    place
        The row; the column where measures are rows.
    measures_are_rows
        As in MorphGen's table 2.
    """
    facts = run.experiment(role, "morphodiff")
    if facts is None:
        return
    encoder = run.encoder(facts, "distances", "morphodiff")
    over: set[int] = set()
    for measure in ("FID", "KID"):
        found = _row(run, role, metric_of(facts, encoder, measure), encoder, "rgb")
        if not isinstance(found, str):
            over.add(int(found["perturbations"]))
        shown = column_of(facts, encoder, measure)
        where = (shown, place) if measures_are_rows else (place, shown)
        for system, column in ((MODEL, "model"), (BASELINE, "baseline"), (FLOOR, "floor")):
            if system == FLOOR and table.item.paper == "morphgen":
                continue
            estimate = absent(found) if isinstance(found, str) else _mean(found, column)
            table.add(*where, system, estimate, role=role, encoder=encoder, paper="morphodiff")
        if table.item.paper == "morphodiff" and not isinstance(found, str):
            _add_test(table, found, where, encoder, role)
    if over:
        number = " and ".join(map(str, sorted(over)))
        table.notes.append(
            f"{place}: means over {number} perturbations that model and baseline share, with "
            "t-intervals over them."
        )


def _add_test(
    table: PaperTable, found: pd.Series, where: tuple[str, str], encoder: str, role: str
) -> None:
    apart = Estimate(
        _known(found["difference"]), _known(found["ci_low"]), _known(found["ci_high"]),
        parts=int(found["perturbations"]),
    )  # fmt: skip
    table.add(*where, f"{MODEL} less {BASELINE}", apart, role=role, encoder=encoder)
    for name, words in (("paired", "paired"), ("student", "Student's"), ("welch", "Welch's")):
        p = Estimate(_known(found[f"{name}_p"]), reason=_said(found["reason"]))
        table.add(*where, f"p, {words} t-test", p, role=role, encoder=encoder)


def _mean(found: pd.Series, column: str) -> Estimate:
    """A mean over perturbations with the t-interval over them: the paper tests over them."""
    value = _known(found[f"mean_{column}"])
    parts = int(found["perturbations"])
    if value is None:
        return Estimate(parts=parts, reason="the floor is at other numbers of images")
    values = [pair[column] for pair in found["pairs"]]
    low, high = t_interval(values)[1] if len(values) > 1 else (None, None)
    return Estimate(value, low, high, parts=parts)


def _said(reason: str | float | None) -> str:
    """A reason from a table, in which there may be none."""
    return "" if pd.isna(reason) else str(reason)


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
