"""Addresses of the files that a dataset is downloaded from."""

from morphpipe.config.datasets import BBBC021Dataset, Dataset, GalleryDataset, RxRx1Dataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.bbbc021 import archive_name
from morphpipe.plan.plates import plates


def local_files(*addresses: str) -> list[str]:
    """Paths of the files that `file:` addresses name, as far as they are there."""
    from morphpipe.datasets.fetch.download import local_path

    found = []
    for address in addresses:
        try:
            path = local_path(address)
        except DataError:
            continue
        found += [] if path is None else [str(path)]
    return found


def table_names(dataset: Dataset) -> list[str]:
    """Names of the tables that are downloaded beside the planes."""
    if isinstance(dataset, BBBC021Dataset):
        return ["image", "moa", *(["compound"] if dataset.compound_table else [])]
    if isinstance(dataset, RxRx1Dataset):
        return [] if dataset.genes is None else ["genes"]
    return ["annotation"] if isinstance(dataset, GalleryDataset) else []


def table_address(dataset: Dataset, table: str) -> str:
    """Address of one of `table_names`."""
    if isinstance(dataset, BBBC021Dataset):
        return f"{dataset.address}/BBBC021_v1_{table}.csv"
    return str(getattr(dataset, table))


def archive_address(dataset: BBBC021Dataset, shard: int) -> str:
    """Address of the archive of one of BBBC021's plates."""
    return f"{dataset.address}/{archive_name(plates(dataset)[shard])}"
