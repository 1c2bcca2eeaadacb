"""The plates of a dataset, which the graph of jobs is made of."""

from pathlib import Path

from morphpipe.config.datasets import Dataset, SheetDataset
from morphpipe.datasets.sources.sheet_plates import sheet_plates


def own_plates(dataset: SheetDataset) -> tuple[str, ...]:
    """The plates of one's own sheet in the order of their first rows: a new one is the last.

    Raises
    ------
    DataError
        When the sheet cannot be read.
    """
    return sheet_plates(Path(dataset.sheet))


def number_of_shards(dataset: Dataset) -> int:
    """Number of shards of a dataset: one per plate."""
    return len(own_plates(dataset)) if isinstance(dataset, SheetDataset) else dataset.shards
