"""Fetching RxRx1: the whole archive, or the planes of some experiments out of it."""

from pathlib import Path

import pandas as pd

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch.obtain import obtain, obtain_made
from morphpipe.datasets.fetch.remote_zip import fetch_members
from morphpipe.datasets.sources.rxrx1 import read_metadata


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
        The two files; one that is there already is kept, see `morphpipe.datasets.fetch.obtain`.
    lock
        See `morphpipe.datasets.fetch.download.fetch`. Every plane of a selection is
        checked against the archive's directory, and the whole against what the first time gave.

    Raises
    ------
    DataError
        When something cannot be had, or an experiment or cell type is not in the metadata.
    """
    obtain(settings.metadata, metadata, sha256=settings.metadata_sha256, lock=lock)
    if settings.fetch == "whole":
        obtain(settings.images, images, sha256=settings.images_sha256, lock=lock)
        return
    experiments = selected_experiments(settings, metadata)
    obtain_made(
        f"{settings.images}#{','.join(sorted(experiments))}",
        images,
        lambda: fetch_members(
            settings.images, images, wanted=lambda name: _experiment_of(name) in experiments
        ),
        lock=lock,
    )


def selected_experiments(settings: RxRx1Dataset, metadata: str | Path) -> set[str]:
    """Experiments that the configured cell types and batches leave.

    Raises
    ------
    DataError
        When a name is not in the metadata.
    """
    table = read_metadata(metadata)[["cell_type", "experiment"]].drop_duplicates()
    chosen = pd.Series(True, index=table.index)
    for column, wanted in (("cell_type", settings.cell_types), ("experiment", settings.batches)):
        known = sorted(set(table[column]))
        for name in wanted or []:
            if name not in known:
                raise DataError(f"RxRx1 has no {column} {name!r}; it has {', '.join(known)}.")
        if wanted is not None:
            chosen &= table[column].isin(list(wanted))
    if not chosen.any():
        raise DataError("No experiment of RxRx1 has both a chosen cell type and a chosen batch.")
    return set(table.loc[chosen, "experiment"])


def _experiment_of(member: str) -> str:
    """The experiment in `rxrx1/images/<experiment>/Plate<p>/<well>_s<site>_w<channel>.png`."""
    parts = member.split("/")
    return parts[2] if len(parts) == 5 and parts[1] == "images" else ""
