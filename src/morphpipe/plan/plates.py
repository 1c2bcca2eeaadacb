"""The plates of a dataset, which the graph of jobs is made of."""

from collections.abc import Sequence
from pathlib import Path

from morphpipe.config.datasets import (
    BBBC021Dataset,
    Dataset,
    GalleryDataset,
    RxRx1Dataset,
    SheetDataset,
    SimulatedDataset,
)
from morphpipe.datasets.sources.bbbc021 import PLATES
from morphpipe.datasets.sources.sheet import ILLUMINATION
from morphpipe.datasets.sources.sheet_plates import files_sha256, rows_sha256, sheet_plates


def own_plates(dataset: SheetDataset) -> tuple[str, ...]:
    """The plates of one's own sheet in the order of their first rows: a new one is the last.

    Raises
    ------
    DataError
        When the sheet cannot be read.
    """
    return sheet_plates(Path(dataset.sheet))


def plates(dataset: BBBC021Dataset | GalleryDataset | SheetDataset) -> Sequence[str]:
    """Names of the plates in the order of the dataset's shards, see `own_plates`."""
    if isinstance(dataset, SheetDataset):
        return own_plates(dataset)
    return PLATES if dataset.plates is None else dataset.plates


def number_of_shards(dataset: Dataset) -> int:
    """Number of shards of a dataset: one per plate."""
    if isinstance(dataset, SimulatedDataset):
        return dataset.plates
    return dataset.shards if isinstance(dataset, RxRx1Dataset) else len(plates(dataset))


def plate_rows_sha256(dataset: SheetDataset, shard: int) -> str:
    """Hash of a plate's own rows in the sheet."""
    return rows_sha256(dataset.sheet, own_plates(dataset)[shard])


def plate_files_sha256(dataset: Dataset, shard: int) -> str | None:
    """Hash of the sizes and dates of a plate's own files; None for datasets that are downloaded.

    A plate has thousands of files, too many to be inputs of a job.
    """
    if not isinstance(dataset, SheetDataset):
        return None
    columns = [channel.column or channel.name for channel in dataset.channels]
    if dataset.preprocessing.illumination == "given":
        columns += [f"{ILLUMINATION}{channel.name}" for channel in dataset.channels]
    return files_sha256(dataset.sheet, own_plates(dataset)[shard], columns)
