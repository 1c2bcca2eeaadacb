"""The metric table: all metrics in long form."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet

METRIC_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("generator", pa.string()),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("extractor", pa.string()),
        pa.field("view", pa.string()),
        # The compared sets: generated-real, real-real (the floor), copy-real, …
        pa.field("comparison", pa.string()),
        # Probes: training and test sets, and the task.
        pa.field("regime", pa.string()),
        pa.field("task", pa.string()),
        # "all" if pooled, null if the column does not apply.
        pa.field("cell_type", pa.string()),
        pa.field("perturbation", pa.string()),
        # Groups of perturbations: "moa: …", "distribution: out"; the column perturbation has the
        # same name, so that selecting "all" excludes them. Null in all other rows.
        pa.field("group", pa.string()),
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        pa.field("n_left", pa.int64()),
        pa.field("n_right", pa.int64()),
        # Null if not computable; the settings then give the reason.
        pa.field("value", pa.float64()),
        pa.field("ci_low", pa.float64()),
        pa.field("ci_high", pa.float64()),
        # A JSON object with everything needed to interpret the value.
        pa.field("settings", pa.string(), nullable=False),
    ]
)


def metric_row(*, settings: Mapping[str, Any] | None = None, **columns: Any) -> dict[str, Any]:
    """Build one complete row; omitted columns are null.

    Parameters
    ----------
    settings
        Stored as a JSON object with sorted keys.
    **columns
        Columns of `METRIC_SCHEMA`.

    Raises
    ------
    DataError
        If a column is unknown, a required one is missing, a number is NaN or infinite, or a value
        is missing without a ``reason`` in the settings.
    """
    unknown = columns.keys() - set(METRIC_SCHEMA.names)
    if unknown:
        raise DataError(f"the metric table has no column {', '.join(sorted(unknown))}")
    row = {name: columns.get(name) for name in METRIC_SCHEMA.names}
    try:
        row["settings"] = json.dumps(dict(settings or {}), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the settings of a metric cannot be written as JSON: {error}") from None
    for field in METRIC_SCHEMA:
        if not field.nullable and row[field.name] is None:
            raise DataError(f"a row of the metric table lacks its {field.name}")
    for name in ("value", "ci_low", "ci_high"):
        number = row[name]
        if number is not None and not math.isfinite(number):
            raise DataError(
                f"the {name} of metric {row['metric']} is {number}; a metric that cannot be "
                "computed is null with a reason"
            )
    if row["value"] is None and not (settings or {}).get("reason"):
        raise DataError(f"metric {row['metric']} has no value and no reason in its settings")
    return row


def metric_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Collect rows of `metric_row` into a table of `METRIC_SCHEMA`."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=METRIC_SCHEMA)


def read_metric_table(path: str | Path) -> pa.Table:
    """Read a metric table; older ones without groups get a null column.

    Raises
    ------
    DataError
        If the file is missing, damaged, or not a metric table.
    """
    table = read_parquet(path, own=True)
    if "group" not in table.schema.names:
        table = table.append_column("group", pa.nulls(len(table), pa.string()))
    if set(table.schema.names) != set(METRIC_SCHEMA.names):
        raise DataError(f"{path} is not a metric table: delete it and rerun the workflow.")
    return table.select(METRIC_SCHEMA.names).cast(METRIC_SCHEMA)
