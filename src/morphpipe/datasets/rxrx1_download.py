"""Fetching RxRx1: the whole archive, or the planes of some experiments out of it."""

from pathlib import Path

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.datasets.download import fetch
from morphpipe.datasets.remote_zip import fetch_members
from morphpipe.datasets.rxrx1 import read_metadata
from morphpipe.errors import DataError


def download_rxrx1(
    settings: RxRx1Dataset, images: str | Path, metadata: str | Path, lock: str | Path | None
) -> None:
    """Bring the archive of planes and the metadata to where they are configured to be.

    Parameters
    ----------
    settings
        With `fetch: selected`, only the planes of the selected experiments are fetched, by range
        requests (MorphoDiff's HUVEC-01, say, is about a gigabyte of 47).
    images, metadata
        The two files.
    lock
        See `morphpipe.datasets.download.fetch`. A selection has no checksum of its own: every
        plane is checked against that of the archive's directory instead.

    Raises
    ------
    DataError
        When something cannot be had, or an experiment or cell type is not in the metadata.
    """
    fetch(settings.metadata, metadata, sha256=settings.metadata_sha256, lock=lock)
    if settings.fetch == "whole":
        fetch(settings.images, images, sha256=settings.images_sha256, lock=lock)
        return
    experiments = selected_experiments(settings, metadata)
    fetch_members(settings.images, images, wanted=lambda name: _experiment_of(name) in experiments)


def selected_experiments(settings: RxRx1Dataset, metadata: str | Path) -> set[str]:
    """Experiments that the configured cell types and batches leave.

    Raises
    ------
    DataError
        When a name is not in the metadata.
    """
    table = read_metadata(metadata)[["cell_type", "experiment"]].drop_duplicates()
    for column, wanted in (
        ("cell_type", settings.cell_types),
        ("experiment", settings.batches),
    ):
        if wanted is None:
            continue
        unknown = [name for name in wanted if name not in set(table[column])]
        if unknown:
            raise DataError(
                f"RxRx1 has no {column} {unknown[0]!r}; it has "
                f"{', '.join(sorted(set(table[column])))}."
            )
        table = table[table[column].isin(list(wanted))]
    if table.empty:
        raise DataError("No experiment of RxRx1 has both a chosen cell type and a chosen batch.")
    return set(table["experiment"])


def _experiment_of(member: str) -> str:
    """The experiment in `rxrx1/images/<experiment>/Plate<p>/<well>_s<site>_w<channel>.png`."""
    parts = member.split("/")
    return parts[2] if len(parts) == 5 and parts[1] == "images" else ""
