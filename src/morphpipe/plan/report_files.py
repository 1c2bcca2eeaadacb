"""Files of experiments and comparisons for the report and the papers' items, by kind."""

from typing import Any

from morphpipe.plan.paths import Plan

METRICS = ("distances", "effects", "probes")
"""Metric tables that every experiment has."""
MEASUREMENTS = {"image": ".parquet", "objects": ".parquet", "labels": ".npz"}
"""Kinds of CellProfiler measurements, and their suffixes."""


def flatten(files: Any) -> list[str]:
    """Flatten nested lists and mappings of paths."""
    if isinstance(files, str):
        return [files]
    values = files.values() if isinstance(files, dict) else files
    return [path for value in values for path in flatten(value)]


def measure_files(plan: Plan, experiment: str) -> dict[str, str]:
    """Return metric tables other than `METRICS`, by the name of the measure."""
    names: list[str] = list(plan.configuration.experiments[experiment].measures)
    if "memorisation" in names:
        names.append("memorisation_pairs")
    return {name: plan.metrics(experiment, name) for name in names}


def distance_tables(plan: Plan, experiment: str) -> list[str]:
    """Return distance tables of fields, and of crops if there are any."""
    names = ["distances"]
    if plan.configuration.experiments[experiment].evaluation.crops is not None:
        names.append("crop-distances")
    return [plan.metrics(experiment, name) for name in names]


def real_measurements(plan: Plan, morphology: str, kind: str) -> list[str]:
    """Return measurements of real fields, one file per shard; see `MEASUREMENTS` for kinds."""
    settings = plan.configuration.morphology[morphology]
    shards = plan.shards(plan.configuration.splits[settings.split].dataset, settings.cell_types)
    folder = f"{plan.results}/morphology/{morphology}"
    return [f"{folder}/shard-{shard}/{kind}{MEASUREMENTS[kind]}" for shard in shards]


def generated_measurements(plan: Plan, experiment: str, kind: str) -> list[str]:
    """Return measurements of generated fields, one file per archive."""
    name = plan.configuration.experiments[experiment].evaluation.morphology
    return plan.generated(experiment, f"morphology/{name}", f"/{kind}{MEASUREMENTS[kind]}")


def real_profiles(plan: Plan, experiment: str) -> str:
    """Return the profiles of real fields for an experiment."""
    name = plan.configuration.experiments[experiment].evaluation.morphology
    return f"{plan.results}/morphology/{name}/profiles.parquet"


def morphology_files(plan: Plan, experiment: str) -> dict[str, list[str]]:
    """Return the morphology files of an experiment by kind; empty if not measured."""
    name = plan.configuration.experiments[experiment].evaluation.morphology
    if name is None:
        return {}
    folder = f"{plan.results}/experiments/{experiment}/morphology"
    tables = ("metrics", "differences", "correlations", "scores")
    return {table: [f"{folder}/{table}.parquet"] for table in tables} | {
        "real_images": real_measurements(plan, name, "image"),
        "generated_images": generated_measurements(plan, experiment, "image"),
        "real_labels": real_measurements(plan, name, "labels"),
        "generated_labels": generated_measurements(plan, experiment, "labels"),
    }


def report_files(plan: Plan, experiment: str) -> dict[str, Any]:
    """Return the files of an experiment for the report, by kind."""
    settings = plan.configuration.experiments[experiment]
    encoder = settings.evaluation.encoders[0]
    folder = f"{plan.results}/datasets/{plan.dataset_of(experiment)}"
    measures = measure_files(plan, experiment)
    pairs = measures.pop("memorisation_pairs", None)
    morphology = morphology_files(plan, experiment)
    return {
        "fields": plan.fields(settings.split),
        "quarantine": f"{folder}/quarantine.parquet",
        "quality": f"{folder}/quality.parquet",
        "leakage": f"{plan.results}/splits/{settings.split}-leakage.parquet",
        "split": plan.split_table(settings.split),
        "samples": plan.samples(experiment),
        "checkpoints": [plan.last_checkpoint(experiment, t) for t in settings.training.seeds],
        "metrics": [plan.metrics(experiment, name) for name in METRICS] + [*measures.values()],
        "features": plan.real_features(experiment, encoder),
        "generated_features": plan.generated_features(experiment, encoder),
        **({"morphology": morphology} if morphology else {}),
        **({"pairs": pairs} if pairs else {}),
    }


def comparison_files(plan: Plan, comparison: str) -> dict[str, Any]:
    """Return the files of a comparison for the report, by kind."""
    settings = plan.configuration.comparisons[comparison]
    ranked = settings.experiments if settings.ranking is not None else ()
    return {
        "tests": f"{plan.results}/comparisons/{comparison}/tests.parquet",
        "rankings": {name: plan.metrics(name, "ranking") for name in ranked},
    }
