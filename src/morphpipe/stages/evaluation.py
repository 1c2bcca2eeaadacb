"""Jobs that write metric tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.crops import CropInputs, measure_crop_distances
from morphpipe.evaluation.stage import EvaluationInputs, measured
from morphpipe.tables.metric_table import metric_table


def evaluate(
    measure: str,
    settings: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
    *,
    fields: str,
    split: str,
    samples: Sequence[str],
    counts: Sequence[str] = (),
) -> None:
    """Write the metric table of a measure, and the further tables that it makes.

    Parameters
    ----------
    measure
        One of `morphpipe.evaluation.registry.MODULES`.
    settings
        See `morphpipe.plan.params.evaluation_params`.
    outputs
        Tables to write: `metrics`, and the names of further tables.
    fields, split, samples, counts
        See `EvaluationInputs`.
    """
    inputs = EvaluationInputs(
        fields=fields, split=split, samples=samples, counts=counts, **settings
    )
    tables = measured(measure, inputs)
    for name, path in outputs.items():
        write_parquet(tables[name], path)


def evaluate_crops(
    settings: Mapping[str, Any],
    split: str,
    real_crops: Sequence[str],
    generated_crops: Sequence[str],
    metrics: str,
) -> None:
    """Write the metric table of distances between single-cell crops."""
    inputs = CropInputs(
        split=split, real_crops=real_crops, generated_crops=generated_crops, **settings
    )
    write_parquet(metric_table(measure_crop_distances(inputs)), metrics)
