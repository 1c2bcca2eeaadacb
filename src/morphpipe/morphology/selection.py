"""Select the fields to measure: by side of a split, cell type and perturbation."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.tables.fields import FieldTable


def select_fields(
    fields: FieldTable,
    *,
    split: Path | None = None,
    side: str = "test",
    cell_types: Collection[str] = (),
    perturbations: Collection[str] = (),
) -> FieldTable:
    """Select fields in their order; the result may be empty for a shard.

    Parameters
    ----------
    fields
        Real or generated fields.
    split
        Split table (`field_id`, `split`); None for all sides.
    side
        Side of the split.
    cell_types, perturbations
        Names; empty for all.

    Raises
    ------
    DataError
        If the split has no such side.
    """
    table = fields.table
    mask = np.ones(len(fields), dtype=bool)
    if split is not None:
        rows = read_parquet(split, ["field_id", "split"])
        chosen = rows.filter(pc.equal(rows["split"], side))["field_id"]
        if not len(chosen):
            sides = ", ".join(sorted(set(rows["split"].to_pylist())))
            raise DataError(f"{split} has no field on the side {side!r}; its sides are {sides}.")
        mask &= np.asarray(pc.is_in(table["field_id"], value_set=chosen.combine_chunks()))
    for column, names in (("cell_type", cell_types), ("perturbation", perturbations)):
        if names:
            wanted = pa.array(sorted(names), pa.string())
            mask &= np.asarray(pc.is_in(table[column], value_set=wanted))
    return fields.take(np.flatnonzero(mask))
