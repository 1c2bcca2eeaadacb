"""Tables of a comparison: tests, values by perturbation, exclusions and ranks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from morphpipe.report import tables
from morphpipe.report.results import DISTANCE_NAMES, FRECHET
from morphpipe.report.tables import Cell, Table, count, interval, number

NAMES = DISTANCE_NAMES | {
    f"relative_{metric}": f"{DISTANCE_NAMES[metric]}, multiples of the floor" for metric in FRECHET
}


def probability(value: float) -> str:
    """A p-value as text."""
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def tests_table(tests: pd.DataFrame, mark: Mapping[str, str], caption: str) -> Table:
    """Means, difference and tests, a row per metric, encoder, view, cell type and group.

    Cell types and groups have columns if there are any.
    """
    scopes = [name for name in ("cell_type", "group") if (tests[name] != "all").any()]
    rows: list[list[Cell | str]] = []
    for _, row in tests.iterrows():
        seeds = [row["seeds_model"], row["seeds_baseline"]]
        note = "" if pd.isna(seeds).any() else f"seeds: {count(seeds[0])} / {count(seeds[1])}"
        left_out = f"{len(row['left_out'])} excluded" if len(row["left_out"]) else ""
        means = [_number(row[f"mean_{name}"]) for name in ("model", "baseline", "floor")]
        if row["reason"]:
            tested = [_number(row["difference"]), Cell(row["reason"], "absent")]
            tested += [Cell("–", "number")] * 3
        else:
            tested = [
                Cell(number(row["difference"]), "number", interval(row)),
                *(Cell(probability(row[f"{t}_p"]), "number") for t in ("paired", "welch",
                                                                      "student")),
                Cell(number(row["smallest_difference"]), "number"),
            ]  # fmt: skip
        name = NAMES.get(row["metric"], row["metric"])
        rows.append(
            [
                Cell(mark[row["extractor"]], note=name), row["view"],
                *(row[scope] for scope in scopes),
                Cell(count(row["perturbations"]), "number",
                     "; ".join(text for text in (note, left_out) if text)),
                *means, *tested,
            ]
        )  # fmt: skip
    headers = ["encoder", "view", *(scope.replace("_", " ") for scope in scopes), "perturbations"]
    headers += ["model", "baseline", "floor", "difference", "paired t-test", "Welch's", "Student's"]
    headers += ["smallest detectable"]
    return tables.table(caption, headers, rows, 9)


def _number(value: float | None) -> Cell:
    return Cell("–" if value is None or pd.isna(value) else number(value), "number")


def values_table(row: pd.Series) -> Table:
    """Both values of each perturbation of one test, from the largest gain to the largest loss."""
    rows: list[list[Cell | str]] = [
        [pair["perturbation"], *(_number(pair[name]) for name in ("model", "baseline", "floor")),
         _number(pair["model"] - pair["baseline"])]
        for pair in sorted(row["pairs"], key=lambda pair: pair["model"] - pair["baseline"])
    ]  # fmt: skip
    name = NAMES.get(row["metric"], row["metric"])
    caption = f"{name} by {row['extractor']}, view “{row['view']}”, means over seeds."
    headers = ["perturbation", row["model"], row["baseline"], "floor", "difference"]
    return tables.table(caption, headers, rows, 4)


def left_out_table(tests: pd.DataFrame) -> Table | None:
    """Perturbations that could not be compared, with reasons; None if there are none."""
    rows = [
        [row.metric, row.extractor, row.view, left["perturbation"], Cell(left["reason"], "long")]
        for row in tests.itertuples()
        for left in row.left_out
    ]
    if not rows:
        return None
    headers = ["metric", "encoder", "view", "perturbation", "reason"]
    return tables.table("Perturbations that could not be compared.", headers, rows)


def ranking_table(summary: pd.DataFrame, mark: Mapping[str, str]) -> Table:
    """Rank of the matching cohort, by experiment, metric, encoder, view and cell type."""
    rows: list[list[Cell | str]] = []
    keys = ["experiment", "metric", "extractor", "view", "cell_type"]
    for key, part in summary.groupby(keys, sort=False):
        experiment, metric, extractor, view, cell_type = map(str, key)
        by = {row["statistic"]: row for _, row in part.iterrows()}
        first = part.iloc[0]
        without = f"{first['without_rank']} without a rank" if first["without_rank"] else ""
        cells: list[Cell | str] = [
            experiment,
            Cell(mark[extractor], note=NAMES.get(metric, metric)),
            view,
            "all cell types" if cell_type == "all" else cell_type,
            Cell(count(first["perturbations"]), "number", without),
            Cell(count(first["cohorts"]), "number"),
        ]
        for name, shown in (
            ("mean_rank", number),
            ("median_rank", number),
            ("top1", "{:.0%}".format),
            ("top5", "{:.0%}".format),
        ):
            value = by[name]
            if not np.isfinite(value["value"]):
                cells.append(Cell("no rank", "absent"))
                continue
            notes = [f"chance {shown(value['chance'])}"]
            if np.isfinite(value["ci_low"]):
                notes.insert(0, f"{shown(value['ci_low'])} to {shown(value['ci_high'])}")
            cells.append(Cell(shown(value["value"]), "number", "; ".join(notes)))
        rows.append(cells)
    headers = ["experiment", "encoder", "view", "cell type", "perturbations", "cohorts"]
    headers += ["mean rank", "median rank", "top 1", "top 5"]
    caption = (
        "Rank of the matching real images among those of all perturbations, by the distance to the "
        "generated images: 1 is the closest. Cohorts have equal sizes; 95 % intervals over "
        "perturbations and chance are given below."
    )
    return tables.table(caption, headers, rows, 6)
