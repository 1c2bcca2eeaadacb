"""Rows of a model and its baseline: tests, settings and ranks.

Every function gets the table, the run, the block, and the row with its query. The `paper` of the
query is that of its role; default: the paper of the table.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.core.statistics import t_interval
from morphpipe.evaluation.distances.ranking_summary import ranking_summary
from morphpipe.report.papers.blocks import column_of, metric_of
from morphpipe.report.papers.cells import FLOOR, Cell, PaperTable
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.items import COMPARISON, RANKING, Block, Query
from morphpipe.report.papers.measured import Estimate, absent
from morphpipe.report.papers.run import PaperRun
from morphpipe.report.papers.setups import PAPERS
from morphpipe.report.results import select

_STATISTICS = {
    "mean_rank": "Mean rank",
    "median_rank": "Median rank",
    "top1": "Own cohort first",
    "top5": "Own cohort among the first five",
}


@cache
def _read(path: str | Path) -> pd.DataFrame:
    return read_parquet(path, own=True).to_pandas()


def _systems(run: PaperRun, paper: str, role: str) -> Iterator[tuple[str, ExperimentFacts]]:
    """The model and the baseline of a role, those that there are."""
    model, baseline = run.experiment(role, paper), run.baseline(role, paper)
    if model is not None:
        yield PAPERS[paper].name, model
    if baseline is not None:
        yield PAPERS[paper].baseline, baseline


def add_comparison(table: PaperTable, run: PaperRun, block: Block, row: str, query: Query) -> None:
    """Add FID and KID of a comparison; nothing if the role is empty."""
    paper, role = query.get("paper", table.item.paper), query["role"]
    facts, own = run.experiment(role, paper), paper == table.item.paper
    if facts is None:
        return
    encoder = run.encoder(facts, "distances", paper)
    systems = {PAPERS[paper].name: "model", PAPERS[paper].baseline: "baseline"}
    over: set[int] = set()
    for measure in ("FID", "KID"):
        found = _compared(run, paper, role, metric_of(facts, encoder, measure), encoder)
        if not isinstance(found, str):
            over.add(int(found["perturbations"]))
        shown = column_of(facts, encoder, measure)
        where = (shown, row) if block.transposed else (row, shown)
        for system, column in (systems | ({FLOOR: "floor"} if own else {})).items():
            estimate = absent(found) if isinstance(found, str) else _mean(found, column)
            table.add(*where, system, estimate, role=role, encoder=encoder, paper=paper)
        if own and not isinstance(found, str):
            for system, estimate in _tests(found, " less ".join(systems)):
                table.add(*where, system, estimate, role=role, encoder=encoder)
    if over:
        number = " and ".join(map(str, sorted(over)))
        table.add_note(
            f"{row}: means over {number} perturbations that model and baseline share, with "
            "t-intervals over them."
        )


def _compared(run: PaperRun, paper: str, role: str, metric: str, encoder: str) -> pd.Series | str:
    """Return the row over all perturbations, or the reason why it is missing."""
    name = run.of(paper).roles[role]
    table = _read(run.paths(name, COMPARISON))
    rows = select(table, metric=metric, extractor=encoder, view="rgb", cell_type="all", group="all")
    if rows.empty:
        return f"the comparison {name} has no {metric} of {encoder}"
    row = rows.iloc[0]
    return _reason(row["reason"]) if pd.isna(row["mean_model"]) else row


def _tests(found: pd.Series, less: str) -> Iterator[tuple[str, Estimate]]:
    """Yield the difference between model and baseline, and the p-value of each test."""
    value, low, high = (_known(found[key]) for key in ("difference", "ci_low", "ci_high"))
    yield less, Estimate(value, low, high, parts=int(found["perturbations"]))
    for name, words in (("paired", "paired"), ("student", "Student's"), ("welch", "Welch's")):
        p = Estimate(_known(found[f"{name}_p"]), reason=_reason(found["reason"]))
        yield f"p, {words} t-test", p


def _mean(found: pd.Series, column: str) -> Estimate:
    """Return a mean over perturbations with its t-interval, as in the paper's test."""
    value = _known(found[f"mean_{column}"])
    parts = int(found["perturbations"])
    if value is None:
        return Estimate(parts=parts, reason="the floor has a different number of images")
    values = [pair[column] for pair in found["pairs"]]
    low, high = t_interval(values)[1] if len(values) > 1 else (None, None)
    return Estimate(value, low, high, parts=parts)


def _reason(reason: str | float | None) -> str:
    """Return a reason from a table; empty if missing."""
    return "" if pd.isna(reason) else str(reason)


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def add_settings(table: PaperTable, run: PaperRun, block: Block, row: str, query: Query) -> None:
    """Add the settings of an experiment and its baseline."""
    for system, facts in _systems(run, query.get("paper", table.item.paper), query["role"]):
        numbers = {
            "Training steps": facts.steps,
            "Batch size": facts.batch_size,
            "Learning rate": facts.learning_rate,
            "Training seeds": len(facts.training_seeds),
            "Sampling seeds": len(facts.sampling_seeds),
            "Sampling steps": facts.sampling_steps,
            "Images per perturbation": facts.per_condition,
            "Guidance": facts.guidance,
            "Share of wells trained on": facts.fractions.get("train"),
            "Share of wells held out": facts.fractions.get("test"),
        }
        # Whole numbers stay whole, and are shown so.
        table.cells += [
            Cell(row, column, system, Estimate(value))
            for column, value in numbers.items()
            if value is not None
        ]
        chosen = "; ".join(
            f"{key.replace('_', ' ')} "
            + (", ".join(map(str, value)) if isinstance(value, list) else str(value))
            for key, value in facts.selection.items()
        )
        table.add_note(
            f"{row}, {system} ({facts.name}): {facts.network} from "
            f"{facts.starting_weights or 'scratch'}, autoencoder {facts.autoencoder}, condition "
            f"{facts.condition or 'learned'}, {facts.sampler}, dataset {facts.dataset}"
            + (f" ({chosen})." if chosen else ".")
        )


def add_ranks(table: PaperTable, run: PaperRun, block: Block, row: str, query: Query) -> None:
    """Add ranks of the matching cohorts, and chance."""
    paper, role = query.get("paper", table.item.paper), query["role"]
    rankings = run.files.get(run.of(paper).roles.get(role, ""), {}).get(RANKING) or {}
    for system, facts in _systems(run, paper, role):
        if facts.name not in rankings:
            continue
        encoder = run.encoder(facts, "distances", paper)
        summary = ranking_summary(read_parquet(rankings[facts.name], own=True).to_pandas())
        if summary.empty:
            continue
        for measure in ("FID", "KID"):
            shown = column_of(facts, encoder, measure)
            chosen = {"metric": metric_of(facts, encoder, measure), "extractor": encoder}
            for line in select(summary, cell_type="all", **chosen).itertuples():
                column = f"{_STATISTICS[line.statistic]} by {shown}"
                value, low, high = map(_known, (line.value, line.ci_low, line.ci_high))
                estimate = Estimate(value, low, high, parts=int(line.perturbations))
                table.add(row, column, system, estimate, role=role, encoder=encoder)
                if system == PAPERS[paper].name:
                    chance = Estimate(_known(line.chance))
                    table.add(row, column, "chance", chance, role=role, encoder=encoder)
