"""MorphoDiff's tables: distances (1), crops (2), experiment details (4), ranks (5)."""

import pandas as pd

from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.distances.ranking_summary import ranking_summary
from morphpipe.report.papers.cells import COPY, FLOOR, SHUFFLED, Cell, PaperTable
from morphpipe.report.papers.comparison_cells import BASELINE, MODEL, add_comparison
from morphpipe.report.papers.distance_cells import column_of, metric_of
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.labels import no_stand_in
from morphpipe.report.papers.measured import Estimate, absent
from morphpipe.report.papers.run import PaperRun

# The paper's names of experiments and compounds.
EXPERIMENTS = {
    "rxrx1_all": "RxRx1, All Batches",
    "rxrx1_single": "RxRx1, Single Batch",
    "bbbc021_all": "BBBC021, All Compounds",
    "bbbc021_14": "BBBC021, 14 Compounds",
    "rohban_5": "Rohban et al., 5 Genes",
    "rohban_12": "Rohban et al., 12 Genes",
}
_COMPOUNDS = {
    "AZ138": "az138",
    "AZ258": "az258",
    "Taxol": "taxol",
    "Cytochalasin B": "cytochalasin-b",
    "Vincristine": "vincristine",
}
_STATISTICS = {
    "mean_rank": "Mean rank",
    "median_rank": "Median rank",
    "top1": "Own cohort first",
    "top5": "Own cohort among the first five",
}


def table_1(table: PaperTable, run: PaperRun) -> None:
    """The six experiments beside their baselines."""
    for role, row in EXPERIMENTS.items():
        add_comparison(table, run, role, row)


def table_2(table: PaperTable, run: PaperRun) -> None:
    """Crops of five compounds."""
    names = run.papers.morphodiff.names
    for system, facts in (
        (MODEL, run.experiment("bbbc021_14", "morphodiff")),
        (BASELINE, run.baseline("bbbc021_14")),
    ):
        if facts is None or facts.crops is None:
            continue
        encoder = run.encoder(facts, "distances", "morphodiff")
        metrics, view = run.metrics(facts), f"crop{facts.crops['size']} rgb"
        for label, usual in _COMPOUNDS.items():
            compound = names.perturbation(usual)
            for measure in ("FID", "KID"):
                column = column_of(facts, encoder, measure)
                if compound is None:
                    table.add(label, column, system, absent(no_stand_in("compound", label)))
                    continue
                lines = [(system, "generated-real@floor-n")]
                if system == MODEL:
                    lines += [(FLOOR, "real-real"), (COPY, "copy-real")]
                    lines += [(SHUFFLED, "shuffled-real")]
                for name, comparison in lines:
                    estimate = metrics.number(
                        "crop-distances", metric=metric_of(facts, encoder, measure),
                        extractor=encoder, view=view, comparison=comparison, cell_type="all",
                        perturbation=compound,
                    )  # fmt: skip
                    table.add(label, column, name, estimate, role="bbbc021_14", encoder=encoder)


def table_4(table: PaperTable, run: PaperRun) -> None:
    """How each experiment was set up; its numbers are settings and not measured."""
    for role, row in EXPERIMENTS.items():
        for system, facts in (
            (MODEL, run.experiment(role, "morphodiff")),
            (BASELINE, run.baseline(role)),
        ):
            if facts is not None:
                _add_details(table, row, system, facts)


def _add_details(table: PaperTable, row: str, system: str, facts: ExperimentFacts) -> None:
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
    for column, value in numbers.items():
        if value is not None:
            # Whole numbers stay whole, and are shown so.
            table.cells.append(Cell(row, column, system, Estimate(value)))
    chosen = "; ".join(
        f"{key.replace('_', ' ')} "
        + (", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for key, value in facts.selection.items()
    )
    table.notes.append(
        f"{row}, {system} ({facts.name}): {facts.network} from "
        f"{facts.starting_weights or 'scratch'}, codec {facts.codec}, condition "
        f"{facts.condition or 'learnt'}, {facts.sampler}, dataset {facts.dataset}"
        + (f" ({chosen})." if chosen else ".")
    )


def table_5(table: PaperTable, run: PaperRun) -> None:
    """Ranks of own cohorts, beside what chance would give."""
    for role, row in EXPERIMENTS.items():
        name = run.papers.morphodiff.roles.get(role)
        rankings = {} if name is None else run.files.get(name, {}).get("ranking") or {}
        for system, facts in (
            (MODEL, run.experiment(role, "morphodiff")),
            (BASELINE, run.baseline(role)),
        ):
            if facts is None or facts.name not in rankings:
                continue
            encoder = run.encoder(facts, "distances", "morphodiff")
            summary = ranking_summary(read_parquet(rankings[facts.name], own=True).to_pandas())
            if summary.empty:
                continue
            _add_ranks(table, row, system, role, encoder, summary, facts)


def _add_ranks(
    table: PaperTable,
    row: str,
    system: str,
    role: str,
    encoder: str,
    summary: pd.DataFrame,
    facts: ExperimentFacts,
) -> None:
    for measure in ("FID", "KID"):
        metric = metric_of(facts, encoder, measure)
        chosen = summary[
            (summary["metric"] == metric)
            & (summary["extractor"] == encoder)
            & (summary["cell_type"] == "all")
        ]
        for line in chosen.itertuples():
            column = f"{_STATISTICS[line.statistic]} by {column_of(facts, encoder, measure)}"
            value, low, high, chance = (
                None if pd.isna(x) else float(x)
                for x in (line.value, line.ci_low, line.ci_high, line.chance)
            )
            estimate = Estimate(value, low, high, parts=int(line.perturbations))
            table.add(row, column, system, estimate, role=role, encoder=encoder)
            if system == MODEL:
                told = absent("") if chance is None else Estimate(chance)
                table.add(row, column, "chance", told, role=role, encoder=encoder)
