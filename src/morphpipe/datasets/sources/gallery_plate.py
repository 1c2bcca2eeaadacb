"""One plate of a configured Cell Painting Gallery project: fetching it, and its sample sheet."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from morphpipe.config.datasets import GalleryDataset
from morphpipe.core.errors import DataError
from morphpipe.core.storage import sha256_of_file
from morphpipe.datasets.fetch.lock import address_of_checksum
from morphpipe.datasets.fetch.many_files import fetch_plate
from morphpipe.datasets.fetch.obtain import obtain, obtain_made
from morphpipe.datasets.sources.gallery import (
    GalleryBatch,
    LoadData,
    gallery_sheet,
    read_load_data,
    select_perturbations,
)
from morphpipe.datasets.sources.rohban import ROHBAN_GENES_5, ROHBAN_GENES_12, rohban_annotation
from morphpipe.datasets.sources.sheet import SampleSheet, normalise_well
from morphpipe.tables.manifest import Channel
from morphpipe.tables.user_tables import read_user_table
from morphpipe.tables.zip_directory import ZIP_ERRORS

# Cell Painting's dyes (Bray et al., Nat. Protoc. 11:1757, 2016).
STAINS = {
    "DNA": "Hoechst 33342 (nuclei)",
    "ER": "concanavalin A (endoplasmic reticulum)",
    "RNA": "SYTO 14 (nucleoli and cytoplasmic RNA)",
    "AGP": "phalloidin and wheat germ agglutinin (actin, Golgi, plasma membrane)",
    "Mito": "MitoTracker Deep Red (mitochondria)",
}
_GENES = {"5": ROHBAN_GENES_5, "12": ROHBAN_GENES_12}


def read_wells(settings: GalleryDataset, annotation: str | Path) -> pd.DataFrame:
    """The wells to take, and what was done to them.

    Parameters
    ----------
    settings
        The dataset in the configuration: layout of the table, genes, perturbations, controls.
    annotation
        The table.

    Returns
    -------
    pandas.DataFrame
        `well`, `perturbation`, `control`, where plates differ `plate`, and what else is known.

    Raises
    ------
    DataError
        When the table lacks a column or a perturbation.
    """
    if settings.layout == "rohban":
        wells = rohban_annotation(annotation)
    else:
        wells = read_user_table(annotation, "annotation", text=True)
        missing = [column for column in ("well", "perturbation") if column not in wells]
        if missing:
            raise DataError(f"{annotation} lacks the column {', '.join(missing)}.")
        if "control" not in wells:
            negative = wells["perturbation"].isin(settings.negative_controls)
            wells["control"] = negative.map({True: "negative", False: "none"})
    chosen = settings.perturbations
    if settings.genes != "all":
        chosen = list(_GENES[settings.genes])
    return wells if chosen is None else select_perturbations(wells, chosen)


def _load_data(
    settings: GalleryDataset, plate: str, path: str | Path, wells: pd.DataFrame
) -> LoadData:
    batch = GalleryBatch(settings.project, settings.institution, settings.batch)
    table = read_load_data(
        path, batch, channels=settings.channels, path_prefix=settings.path_prefix
    )
    here = wells if "plate" not in wells else wells[wells["plate"] == plate]
    annotated = {normalise_well(str(well)) or str(well) for well in here["well"]}
    lacking = sorted(annotated - set(table.frame["well"]))
    if lacking:
        tqdm.write(
            f"{len(lacking)} annotated wells of plate {plate} have no row in {Path(path).name} and "
            f"no image: {', '.join(lacking)}."
        )
    return table.of_wells(set(here["well"]))


def download_gallery_plate(
    settings: GalleryDataset,
    plate: str,
    annotation: str | Path,
    archive: str | Path,
    load_data: str | Path,
    lock: str | Path | None,
) -> None:
    """Fetch a plate's table and the planes of the chosen wells, into one archive.

    Parameters
    ----------
    settings, plate
        The dataset in the configuration, and one of its plates.
    annotation
        See `read_wells`.
    archive, load_data
        The two files to write.
    lock
        See `morphpipe.datasets.fetch.download.fetch`. The planes have no published checksums: what
        the first time gave is demanded from then on.
    """
    batch = GalleryBatch(settings.project, settings.institution, settings.batch)
    key = batch.load_data_key(plate, settings.load_data)
    obtain(f"{settings.address.rstrip('/')}/{key}", load_data, lock=lock)
    table = _load_data(settings, plate, load_data, read_wells(settings, annotation))
    keys = table.keys(settings.channels)
    selection = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    _require_planes(Path(archive), keys, lock)
    obtain_made(
        f"{settings.address.rstrip('/')}/{key}#{selection}",
        archive,
        lambda: fetch_plate(settings.address, keys, archive),
        lock=lock,
    )


def _require_planes(archive: Path, keys: Sequence[str], lock: str | Path | None) -> None:
    """Make room for another selection of planes than an earlier run has fetched.

    Raises
    ------
    DataError
        When the archive was put there by hand and lacks planes.
    """
    if not archive.is_file():
        return
    try:
        with zipfile.ZipFile(archive) as content:
            missing = [key for key in keys if key not in content.NameToInfo]
    except ZIP_ERRORS as error:
        raise DataError(
            f"{archive} cannot be read as a zip archive ({error}): move it away to have its planes "
            "fetched again."
        ) from None
    if not missing:
        return
    if lock is None or address_of_checksum(lock, sha256_of_file(archive)) is None:
        raise DataError(
            f"{archive} was put there by hand and lacks {len(missing)} of {len(keys)} planes that "
            f"are wanted, the first {missing[0]}: add them, or move it away to have all fetched."
        )
    archive.unlink()


def gallery_plate(
    settings: GalleryDataset,
    plate: str,
    archive: str | Path,
    load_data: str | Path,
    annotation: str | Path,
) -> SampleSheet:
    """The sample sheet of a plate that has been fetched.

    Parameters
    ----------
    settings, plate, archive, load_data, annotation
        See `download_gallery_plate`.
    """
    wells = read_wells(settings, annotation)
    return gallery_sheet(
        _load_data(settings, plate, load_data, wells),
        archive,
        wells,
        channels=[Channel(name, STAINS.get(name, name)) for name in settings.channels],
        batch=settings.batch,
        cell_type=settings.cell_type,
        perturbation_kind=settings.perturbation_kind,
        pixel_size=settings.pixel_size,
        licence=settings.licence,
        source=f"Cell Painting Gallery, {settings.project}",
    )
