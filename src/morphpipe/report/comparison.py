"""Comparison of a model with its baseline: tests and ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from morphpipe.config import Configuration
from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.distances.comparison import COMPARISON_SCHEMA
from morphpipe.evaluation.distances.ranking import RANKING_SCHEMA
from morphpipe.evaluation.distances.ranking_summary import ranking_summary
from morphpipe.report.comparison_tables import (
    NAMES,
    left_out_table,
    probability,
    ranking_table,
    tests_table,
    values_table,
)
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.comparison import MOST_PERTURBATIONS, Panel, figure_comparison
from morphpipe.report.inputs import ComparisonFiles
from morphpipe.report.results import FRECHET, KERNEL, select, served_alignment
from morphpipe.report.tables import Table, count, interval, number


@dataclass(frozen=True)
class ComparisonSection:
    """Content of a comparison's page; `details` are collapsed tables."""

    name: str
    model: str
    baseline: str
    encoder: str
    statements: list[str]
    plots: list[Plot]
    tables: list[Table]
    details: list[tuple[str, Table]]


def _read(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    table = read_parquet(path, own=True)
    if set(table.schema.names) != set(columns):
        raise DataError(f"{path} is not a table of {what}: rerun the workflow.")
    return table.to_pandas()


def is_whole(view: str) -> bool:
    """Whether a view is of whole images or crops, not of a single channel."""
    return view.split()[-1] in ("all", "rgb")


def verdict(row: pd.Series) -> str:
    """Summarise a test, with the smallest detectable difference."""
    name = NAMES.get(row["metric"], row["metric"])
    where = "" if row["cell_type"] == "all" else f" in {row['cell_type']}"
    by = f"By {name} ({row['extractor']}, view “{row['view']}”){where}"
    if row["reason"]:
        return f"{by} nothing was tested: {row['reason']}."
    means = (
        f"mean {number(row['mean_model'])} vs {number(row['mean_baseline'])} over "
        f"{count(row['perturbations'])} perturbations"
    )
    if np.isfinite(row["mean_floor"]):
        means += f" (real vs real {number(row['mean_floor'])})"
    test = (
        f"The difference is {number(row['difference'])} (95 % interval {interval(row)}; paired "
        f"t-test, {probability(row['paired_p'])})"
    )
    smallest = f"the smallest detectable difference is {number(row['smallest_difference'])}"
    if row["paired_p"] < 0.05:
        side = "closer to" if row["difference"] < 0 else "further from"
        result = f"images of {row['model']} are {side} real images than those of "
        return f"{by} {result}{row['baseline']}: {means}. {test}; {smallest}."
    if row["mean_baseline"] > 0:
        share = row["smallest_difference"] / row["mean_baseline"]
        smallest += f", {share:.0%} of the value of {row['baseline']}"
    return (
        f"{by} there is no significant difference between {row['model']} and {row['baseline']}: "
        f"{means}. {test}. This does not exclude a difference: {smallest}."
    )


def _encoders(configuration: Configuration, tests: pd.DataFrame) -> dict[str, str]:
    """Names of encoders, with a dagger if used for alignment; those without come first."""
    first = tests.iloc[0]
    marked = {
        encoder: any(
            served_alignment(configuration, first[side], encoder) for side in ("model", "baseline")
        )
        for encoder in dict.fromkeys(tests["extractor"])
    }
    return {e: f"{e} †" if marked[e] else e for e in sorted(marked, key=lambda e: marked[e])}


def _primary(tests: pd.DataFrame, encoder: str) -> pd.DataFrame:
    """Rows for statements and figures: one encoder, FID and KID, whole images and crops."""
    rows = select(tests, extractor=encoder, group="all", cell_type="all",
                  metric=(*FRECHET, *KERNEL))  # fmt: skip
    rows = rows[rows["view"].map(is_whole)]
    # Fields have no prefix and come first; of their views `all` comes before `rgb`.
    images = rows["view"].map(lambda view: view.rpartition(" ")[0])
    order = rows.assign(images=images).sort_values(["images", "view"], kind="stable")
    chosen = order.groupby(["images", "metric"], sort=False)["view"].transform("first")
    return order[order["view"] == chosen].drop(columns="images")


def build_comparison(configuration: Configuration, files: ComparisonFiles) -> ComparisonSection:
    """Collect statements, figure and tables of one comparison.

    Raises
    ------
    DataError
        If a table is invalid.
    """
    tests = _read(files.tests, COMPARISON_SCHEMA.names, "tests")
    if tests.empty:
        raise DataError(f"{files.tests} contains no test: rerun the workflow.")
    tests["reason"] = tests["reason"].fillna("")
    # Fields before crops, whose views have a prefix.
    crops = tests["view"].str.contains(" ")
    tests = pd.concat([tests[~crops], tests[crops]], ignore_index=True)
    rankings = [_read(path, RANKING_SCHEMA.names, "ranks") for path in files.rankings.values()]
    summary = ranking_summary(pd.concat(rankings)) if rankings else None
    mark = _encoders(configuration, tests)
    for extractor in [] if summary is None else summary["extractor"]:
        mark.setdefault(extractor, extractor)
    encoder, model, baseline = next(iter(mark)), tests["model"].iloc[0], tests["baseline"].iloc[0]
    primary = _primary(tests, encoder)
    sentences = [verdict(row) for _, row in primary.iterrows()]
    if primary.empty:
        sentences.append(f"By {encoder} no view of whole images was compared: see the tables.")
    elif primary["left_out"].map(len).any():
        sentences.append(
            "Some perturbations could not be compared and are excluded; see the table."
        )
    if summary is not None:
        sentences += _ranking_statements(summary, encoder)
    sentences.append(
        "Tests are over perturbations, for the given trainings: repeated trainings may give "
        "different results. There is no correction for multiple testing."
    )
    return ComparisonSection(
        name=files.name,
        model=model,
        baseline=baseline,
        encoder=mark[encoder],
        statements=sentences,
        plots=_plots(primary, mark[encoder], model, baseline),
        tables=_tables(tests, summary, mark, encoder),
        details=_details(tests, primary, mark, encoder),
    )


def _ranking_statements(summary: pd.DataFrame, encoder: str) -> list[str]:
    rows = select(summary, extractor=encoder, cell_type="all", statistic="mean_rank")
    sentences = []
    for _, row in rows[np.isfinite(rows["value"].astype(float))].iterrows():
        near = interval(row)
        sentences.append(
            f"By {NAMES.get(row['metric'], row['metric'])} ({encoder}, view “{row['view']}”) the "
            f"mean rank of the matching real images is {number(row['value'])} of "
            f"{count(row['cohorts'])} for images of {row['experiment']}"
            f"{f' (95 % interval {near})' if near else ''}; chance is {number(row['chance'])}."
        )
    return sentences


def _plots(primary: pd.DataFrame, encoder: str, model: str, baseline: str) -> list[Plot]:
    drawn = [
        Panel(f"{NAMES[row['metric']]}, {row['view']}", pd.DataFrame(list(row["pairs"])))
        for _, row in primary.iterrows()
        if len(row["pairs"])
    ]
    if not drawn:
        return []
    most = max(len(panel.pairs) for panel in drawn)
    has_floor = any(panel.pairs["floor"].notna().any() for panel in drawn)
    return [
        Plot(
            "comparison",
            "Model and baseline by perturbation",
            figure_comparison(drawn, model=model, baseline=baseline),
            f"Distances of {model} and of {baseline} by perturbation; the values are in the table.",
            f"Distances to real images by {encoder}, one line per perturbation. A filled square "
            f"left of its circle means that {model} is closer to the real images of the "
            "perturbation"
            + ("; the grey bar is the floor, real vs real" * has_floor)
            + "."
            + (
                f" {MOST_PERTURBATIONS} of {most:,} perturbations, spread evenly over the order of "
                "the differences."
                if most > MOST_PERTURBATIONS
                else ""
            ),
        )
    ]


def _tables(
    tests: pd.DataFrame, summary: pd.DataFrame | None, mark: Mapping[str, str], encoder: str
) -> list[Table]:
    caption = (
        "Mean distance to real images over perturbations, lower is closer; the difference is model "
        "minus baseline, with its 95 % interval below. The last column is the smallest detectable "
        "difference: the paired test has a power of 80 % for it."
    )
    whole = tests[tests["view"].map(is_whole)]
    found = [tests_table(select(whole, group="all"), mark, caption)]
    groups = whole[(whole["group"] != "all") & (whole["extractor"] == encoder)]
    if len(groups):
        found.append(
            tests_table(
                groups,
                mark,
                "Tests by mechanism (moa), and for perturbations in the training data "
                "(distribution: in) or not (out).",
            )
        )
    if summary is not None:
        found.append(ranking_table(summary, mark))
    return found


def _details(
    tests: pd.DataFrame, primary: pd.DataFrame, mark: Mapping[str, str], encoder: str
) -> list[tuple[str, Table]]:
    found = []
    for _, row in primary.iterrows():
        if len(row["pairs"]):
            made = values_table(row)
            found.append((f"{NAMES[row['metric']]} by perturbation, view “{row['view']}”", made))
    whole = tests["view"].map(is_whole)
    others = tests[~whole | ((tests["group"] != "all") & (tests["extractor"] != encoder))]
    if len(others):
        made = tests_table(others, mark, "Single channels, and groups by other encoders.")
        found.append((f"Other tests ({len(others):,} rows)", made))
    left_out = left_out_table(select(tests, group="all"))
    if left_out is not None:
        found.append((f"Excluded perturbations ({len(left_out.rows):,} rows)", left_out))
    return found
