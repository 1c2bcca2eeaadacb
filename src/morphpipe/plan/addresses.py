"""Addresses of the files that a dataset is downloaded from."""

from morphpipe.core.errors import DataError


def local_files(*addresses: str) -> list[str]:
    """Return local paths of `file:` addresses."""
    from morphpipe.datasets.fetch.download import local_path

    found = []
    for address in addresses:
        try:
            path = local_path(address)
        except DataError:
            continue
        found += [] if path is None else [str(path)]
    return found
