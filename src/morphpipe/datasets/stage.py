"""The field table as the workflow makes it: RxRx1's catalogue, and what is put aside."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.datasets.fields import FieldTable, write_fields
from morphpipe.datasets.quality import join_quarantine
from morphpipe.datasets.rxrx1 import build_fields
from morphpipe.storage import write_parquet


def catalogue_rxrx1(
    name: str,
    settings: RxRx1Dataset,
    images: str | Path,
    metadata: str | Path,
    folder: str | Path,
) -> tuple[FieldTable, pd.DataFrame]:
    """Fields of RxRx1 as configured, and those whose planes are not in the archive.

    Parameters
    ----------
    name, settings
        The dataset in the configuration.
    images, metadata, folder
        See `morphpipe.datasets.rxrx1.build_fields`.
    """
    return build_fields(
        images,
        metadata,
        folder,
        dataset=name,
        cell_types=settings.cell_types,
        perturbations=settings.perturbations,
        quarantine=settings.quarantine,
    )


def write_tables(
    fields: FieldTable,
    put_aside: Sequence[pd.DataFrame],
    path: str | Path,
    quarantine_path: str | Path,
) -> tuple[int, int]:
    """Write the field table without the fields that were put aside, and the table of those.

    Parameters
    ----------
    fields
        All fields.
    put_aside
        Tables of `field_id` and `reason`; none, where all could be read.
    path, quarantine_path
        The two files.

    Returns
    -------
    kept, aside : int
        Rows of either.
    """
    quarantine = join_quarantine(list(put_aside))
    kept = fields.without(quarantine["field_id"])
    write_fields(kept, path)
    write_parquet(pa.Table.from_pandas(quarantine, preserve_index=False), quarantine_path)
    return len(kept), len(quarantine)
