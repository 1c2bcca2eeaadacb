"""Tables of shards and of whole datasets."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.config.preprocessing import Quality
from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.datasets.preparation.quality import (
    QUARANTINE_COLUMNS,
    quality_control,
    quality_table,
    quarantine_of,
)
from morphpipe.tables.archive import read_fields
from morphpipe.tables.fields import FieldTable, concatenate, write_fields


def quality_control_shard(
    fields: FieldTable, quality: Quality, path: str | Path, quality_path: str | Path
) -> None:
    """Check every field of a shard; write the table of accepted fields and the quality table.

    Parameters
    ----------
    fields
        The shard's rows.
    quality
        Limits.
    path, quality_path
        The two files.

    Raises
    ------
    DataError
        See `morphpipe.datasets.preparation.quality.quality_control`; or if no field is left.
    """
    table = quality_control(fields, quality)
    kept = fields.without(quarantine_of(table)["field_id"])
    refuse_empty(len(kept), table)
    write_fields(concatenate([kept], Path(path).parent), path)
    write_parquet(quality_table(table), quality_path)


def refuse_empty(kept: int, quality: pd.DataFrame) -> None:
    """Raise DataError if no field of a shard is left, naming the plate and the first reason."""
    if not kept:
        first = quality.iloc[0]
        raise DataError(
            f"All {len(quality)} fields of plate {first['plate']} were excluded, the first one "
            f"({first['field_id']}) since: {first['reason']}. Remove the plate from the dataset, "
            "or relax the limits in its `quality`."
        )


def join_shards(
    shards: Sequence[str | Path],
    quality: Sequence[str | Path],
    missing: Sequence[str | Path],
    path: str | Path,
    quality_path: str | Path,
    quarantine_path: str | Path,
) -> tuple[int, int]:
    """Merge the tables of shards into those of a dataset.

    Parameters
    ----------
    shards, quality
        Field tables (or archives) and quality tables, one per shard.
    missing
        Tables of `field_id` and `reason` of fields without any image.
    path, quality_path, quarantine_path
        See `write_dataset`.

    Returns
    -------
    kept, aside : int
        Numbers of accepted and of excluded fields.
    """
    return write_dataset(
        concatenate([read_fields(shard) for shard in shards], Path(path).parent),
        pd.concat(
            [read_parquet(part, own=True).to_pandas() for part in quality], ignore_index=True
        ),
        [read_parquet(part, own=True).to_pandas() for part in missing],
        path,
        quality_path,
        quarantine_path,
    )


def write_dataset(
    fields: FieldTable,
    found: pd.DataFrame,
    missing: Sequence[pd.DataFrame],
    path: str | Path,
    quality_path: str | Path,
    quarantine_path: str | Path,
) -> tuple[int, int]:
    """Write the field, quality and quarantine tables of a dataset.

    Parameters
    ----------
    fields
        The accepted fields.
    found
        Quality table of all fields with images, see `morphpipe.datasets.preparation.quality`.
    missing
        `field_id` and `reason` of fields without any image.
    path, quality_path, quarantine_path
        The three files.

    Returns
    -------
    kept, aside : int
        Numbers of accepted and of excluded fields.
    """
    aside = pd.concat(
        [pd.DataFrame(columns=QUARANTINE_COLUMNS), *missing, quarantine_of(found)],
        ignore_index=True,
    )[QUARANTINE_COLUMNS].astype("string")
    write_fields(fields, path)
    write_parquet(quality_table(found), quality_path)
    write_parquet(pa.Table.from_pandas(aside, preserve_index=False), quarantine_path)
    return len(fields), len(aside)


def write_quality(path: str | Path, quality_path: str | Path) -> None:
    """Measure the fields of an archive of accepted fields, and write the quality table."""
    table = quality_control(read_fields(path), Quality())
    write_parquet(quality_table(table), quality_path)
