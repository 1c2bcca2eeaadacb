"""Cell counts of real and generated fields, from segmented nuclei."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.scopes import of_generated_conditions
from morphpipe.evaluation.core.statistics import LEVEL, InfluenceValues, influence_interval
from morphpipe.imaging.nuclei import segment_nuclei
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.metric_table import metric_row

COUNT_SCHEMA = pa.schema(
    [
        pa.field("field_id", pa.string(), nullable=False),
        pa.field("cells", pa.int64(), nullable=False),
    ]
)

COUNTED = ("nuclei", "cell count")
"""Extractor and view of the probe that sees the cell count alone."""


def count_cells(fields: FieldTable, nuclear: str = "DNA") -> pa.Table:
    """Count the nuclei of every field (`morphpipe.imaging.nuclei.segment_nuclei`).

    Touching nuclei count as one, in real and generated fields.

    Parameters
    ----------
    fields
        8-bit fields.
    nuclear
        The nuclear channel.

    Returns
    -------
    pyarrow.Table
        `COUNT_SCHEMA`.

    Raises
    ------
    DataError
        If the fields lack the channel.
    """
    names = fields.manifest.names
    if nuclear not in names:
        raise DataError(
            f"Cells are counted in the channel {nuclear!r}, but the fields have "
            f"{', '.join(names)}: name the nuclear channel."
        )
    plane = names.index(nuclear)
    with FieldReader(fields) as reader:
        cells = [
            int(segment_nuclei(reader.read(number)[plane]).max())
            for number in tqdm(range(len(fields)), desc="cells", unit="field", mininterval=5)
        ]
    return pa.table({"field_id": fields.field_ids, "cells": cells}, schema=COUNT_SCHEMA)


def read_counts(paths: Sequence[str | Path]) -> dict[str, int]:
    """Read tables of cell counts: the number of cells by field.

    Raises
    ------
    DataError
        If a file is missing, damaged or not a table of cell counts, or a count is missing, negative
        or not an integer.
    """
    counts: dict[str, int] = {}
    for path in paths:
        table = read_parquet(path, own=True)
        if table.schema.names != COUNT_SCHEMA.names:
            raise DataError(
                f"{path} is not a table of cell counts: delete it and rerun the workflow."
            )
        for name, cells in zip(*(table[c].to_pylist() for c in COUNT_SCHEMA.names), strict=True):
            if not isinstance(cells, int) or cells < 0:
                raise DataError(
                    f"{path}: field {name!r} has {cells!r} cells, but a count must be a "
                    "non-negative integer: delete the table and rerun the workflow."
                )
            counts[name] = cells
    return counts


def counts_of(images: FeatureSet, counts: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Look up the cell count of each image: int64 [n].

    Raises
    ------
    DataError
        If an image has no count.
    """
    ids = images.column("field_id")
    missing = [name for name in ids if name not in counts]
    if missing:
        raise DataError(
            f"{len(missing)} images have no cell count, among them {missing[0]!r}: count the "
            "cells of all real and generated fields first"
        )
    return np.array([counts[name] for name in ids], dtype=np.int64)


def cell_count_rows(
    generated: FeatureSet,
    real: FeatureSet,
    counts: Mapping[str, int],
    *,
    context: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Mean cell count of each condition, real and generated, with its interval over wells."""
    rows: list[dict[str, Any]] = []
    sides: list[tuple[str, dict[str, int | None], FeatureSet]] = [
        ("real", {}, of_generated_conditions(real, generated))
    ]
    for training_seed, sampling_seed, images in generated.by_seed():
        seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
        sides.append(("generated", seeds, images))
    for comparison, seeds, images in sides:
        cells, conditions = counts_of(images, counts).astype(np.float64), images.conditions
        for condition in sorted(set(conditions)):
            mask = conditions == condition
            cell_type, perturbation = condition.split("\x1f")
            values, groups = cells[mask], images.groups[mask]
            interval: dict[str, float] = {}
            notes: dict[str, Any] = {"counted": "nuclei, touching ones as one"}
            if len(np.unique(groups)) > 1:
                contributions = (values - values.mean()) / len(values)
                low, high = influence_interval(
                    float(values.mean()), [InfluenceValues(contributions, groups)]
                )
                interval = {"ci_low": max(low, 0.0), "ci_high": high}
                notes |= {"interval": "linearised, wells as units", "level": LEVEL}
            rows.append(
                metric_row(
                    **context,
                    **seeds,
                    **interval,
                    extractor=COUNTED[0],
                    view=COUNTED[1],
                    metric="mean_cell_count",
                    comparison=comparison,
                    cell_type=cell_type or "all",
                    perturbation=perturbation or "all",
                    n_left=len(values),
                    value=float(values.mean()),
                    settings=notes,
                )
            )
    return rows
