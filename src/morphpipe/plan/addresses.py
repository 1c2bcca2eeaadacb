"""Addresses of the files that a dataset is downloaded from."""

from morphpipe.config.datasets import BBBC021Dataset
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


def archive_address(dataset: BBBC021Dataset, shard: int) -> str:
    """Address of the archive of one of BBBC021's plates."""
    return f"{dataset.address}/{archive_name(plates(dataset)[shard])}"
