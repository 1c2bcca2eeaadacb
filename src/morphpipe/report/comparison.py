"""A model beside its baseline: what came out of the tests, and where own cohorts rank."""

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
    """What the page shows of one comparison; tables that few will open are `details`."""

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
        raise DataError(f"{path} is not a table of {what}: let the workflow make it again.")
    return table.to_pandas()


def is_whole(view: str) -> bool:
    """Whether an encoder saw whole images or crops, not a channel."""
    return view.split()[-1] in ("all", "rgb")


def verdict(row: pd.Series) -> str:
    """What came out of one test, in words, with the smallest difference it could have shown."""
    name = NAMES.get(row["metric"], row["metric"])
    where = "" if row["cell_type"] == "all" else f" in {row['cell_type']}"
    by = f"By {name} ({row['extractor']}, view “{row['view']}”){where}"
    if row["reason"]:
        return f"{by} nothing was tested: {row['reason']}."
    means = (
        f"{number(row['mean_model'])} against {number(row['mean_baseline'])} on the mean of "
        f"{count(row['perturbations'])} perturbations"
    )
    if np.isfinite(row["mean_floor"]):
        means += f" (real against real {number(row['mean_floor'])})"
    test = (
        f"The difference is {number(row['difference'])} (95 % interval {interval(row)}; paired "
        f"t-test, {probability(row['paired_p'])})"
    )
    smallest = (
        f"the smallest difference that this sample could have shown is "
        f"{number(row['smallest_difference'])}"
    )
    if row["paired_p"] < 0.05:
        side = "closer to" if row["difference"] < 0 else "further from"
        said = f"the images of {row['model']} are {side} the real ones than those of "
        return f"{by} {said}{row['baseline']}: {means}. {test}; {smallest}."
    if row["mean_baseline"] > 0:
        share = row["smallest_difference"] / row["mean_baseline"]
        smallest += f", {share:.0%} of the value of {row['baseline']}"
    return (
        f"{by} no difference was shown between {row['model']} and {row['baseline']}: {means}. "
        f"{test}. That does not say that there is none: {smallest}; a smaller one would often "
        "have gone unseen."
    )


def _encoders(configuration: Configuration, tests: pd.DataFrame) -> dict[str, str]:
    """Encoders with their names as shown: with a dagger where one served alignment of either.

    Those that did not come first.
    """
    first = tests.iloc[0]
    marked = {
        encoder: any(
            served_alignment(configuration, first[side], encoder) for side in ("model", "baseline")
        )
        for encoder in dict.fromkeys(tests["extractor"])
    }
    return {e: f"{e} †" if marked[e] else e for e in sorted(marked, key=lambda e: marked[e])}


def _primary(tests: pd.DataFrame, encoder: str) -> pd.DataFrame:
    """Rows that are said and drawn: one encoder, FID and KID, whole images and crops of them."""
    rows = select(tests, extractor=encoder, group="all", cell_type="all",
                  metric=(*FRECHET, *KERNEL))  # fmt: skip
    rows = rows[rows["view"].map(is_whole)]
    # Fields have no prefix and come first; of their views `all` comes before `rgb`.
    images = rows["view"].map(lambda view: view.rpartition(" ")[0])
    order = rows.assign(images=images).sort_values(["images", "view"], kind="stable")
    chosen = order.groupby(["images", "metric"], sort=False)["view"].transform("first")
    return order[order["view"] == chosen].drop(columns="images")


def build_comparison(configuration: Configuration, files: ComparisonFiles) -> ComparisonSection:
    """Put together sentences, figure and tables of one comparison.

    Raises
    ------
    DataError
        When a table is not what it has to be.
    """
    tests = _read(files.tests, COMPARISON_SCHEMA.names, "tests")
    if tests.empty:
        raise DataError(f"{files.tests} holds no test: let the workflow make it again.")
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
    said = [verdict(row) for _, row in primary.iterrows()]
    if primary.empty:
        said.append(f"By {encoder} no view of whole images was compared: see the tables.")
    elif primary["left_out"].map(len).any():
        said.append("Some perturbations could not be compared and are left out; the table says "
                    "which and why.")  # fmt: skip
    if summary is not None:
        said += _ranking_statements(summary, encoder)
    said.append(
        "The tests are over perturbations, of the trainings at hand: another training of either "
        "could come out differently. Nothing is corrected for the number of tests."
    )
    return ComparisonSection(
        name=files.name,
        model=model,
        baseline=baseline,
        encoder=mark[encoder],
        statements=said,
        plots=_plots(primary, mark[encoder], model, baseline),
        tables=_tables(tests, summary, mark, encoder),
        details=_details(tests, primary, mark, encoder),
    )


def _ranking_statements(summary: pd.DataFrame, encoder: str) -> list[str]:
    rows = select(summary, extractor=encoder, cell_type="all", statistic="mean_rank")
    said = []
    for _, row in rows[np.isfinite(rows["value"].astype(float))].iterrows():
        near = interval(row)
        said.append(
            f"By {NAMES.get(row['metric'], row['metric'])} ({encoder}, view “{row['view']}”) the "
            f"real images of a perturbation are on the mean at rank {number(row['value'])} of "
            f"{count(row['cohorts'])} from those that {row['experiment']} generated for it"
            f"{f' (95 % interval {near})' if near else ''}; chance would put them at "
            f"{number(row['chance'])}."
        )
    return said


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
            f"Distances to the real images by {encoder}, one line per perturbation. Read it as: a "
            f"filled square left of its circle means that {model} is closer to the real images of "
            "the perturbation"
            + ("; the grey bar is what real images score against each other" * has_floor)
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
        "Mean distance to the real images over perturbations, lower is closer; the difference is "
        "model less baseline, with its 95 % interval below. The last column is the smallest "
        "difference that the sample could have shown: one that the paired test finds in 80 of 100 "
        "such samples."
    )
    whole = tests[tests["view"].map(is_whole)]
    found = [tests_table(select(whole, group="all"), mark, caption)]
    groups = whole[(whole["group"] != "all") & (whole["extractor"] == encoder)]
    if len(groups):
        found.append(
            tests_table(
                groups,
                mark,
                "The same by mechanism (moa), and by whether training has seen the perturbation "
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
        found.append((f"Perturbations left out ({len(left_out.rows):,} rows)", left_out))
    return found
