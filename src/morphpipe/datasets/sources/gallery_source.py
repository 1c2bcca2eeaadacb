"""The Cell Painting Gallery as a source of datasets."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from morphpipe.config.raw_datasets import GalleryDataset
from morphpipe.core.errors import DataError
from morphpipe.core.storage import sha256_of_file
from morphpipe.datasets.fetch.lock import address_of_checksum
from morphpipe.datasets.sources.gallery import (
    GalleryBatch,
    LoadData,
    gallery_sheet,
    read_load_data,
    select_perturbations,
)
from morphpipe.datasets.sources.rohban import ROHBAN_GENES_5, ROHBAN_GENES_12, rohban_annotation
from morphpipe.datasets.sources.sheet import SampleSheet, normalise_well
from morphpipe.datasets.sources.source import NO_LICENCE, PARTS, Download, RawSource
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


class GallerySource(RawSource[GalleryDataset]):
    """A project of the gallery: single planes, listed in tables."""

    # Plates of 384 wells with nine sites each.
    fields_per_plate = 384 * 9

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return len(self.settings.channels)

    def plates(self) -> Sequence[str]:
        """Names of the plates, in the order of the shards."""
        return self.settings.plates

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """The table of wells, and each plate's table and planes."""
        settings = self.settings
        place = f"{folder}/annotation.csv"
        yield Download(f"{what}.annotation", settings.annotation, place, None, note=NO_LICENCE)
        for shard, plate in enumerate(settings.plates):
            table = self._table_of(plate)
            place = f"{folder}/plates/shard-{shard}"
            planes = f"the planes that {table} names"
            yield Download(what, table, f"{place}.csv", settings.licence)
            yield Download(what, planes, f"{place}.zip", settings.licence, note=PARTS)

    @property
    def _batch(self) -> GalleryBatch:
        settings = self.settings
        return GalleryBatch(settings.project, settings.institution, settings.batch)

    def _table_of(self, plate: str) -> str:
        key = self._batch.load_data_key(plate, self.settings.load_data)
        return f"{self.settings.address.rstrip('/')}/{key}"

    def read_wells(self, annotation: str | Path) -> pd.DataFrame:
        """Read the wells to use and their treatments.

        Parameters
        ----------
        annotation
            The table, in the configured layout.

        Returns
        -------
        pandas.DataFrame
            `well`, `perturbation`, `control`, `plate` if plates differ, and further annotations.

        Raises
        ------
        DataError
            If the table lacks a column or a perturbation.
        """
        settings = self.settings
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

    def _load_data(self, plate: str, path: str | Path, wells: pd.DataFrame) -> LoadData:
        channels, prefix = self.settings.channels, self.settings.path_prefix
        table = read_load_data(path, self._batch, channels=channels, path_prefix=prefix)
        here = wells if "plate" not in wells else wells[wells["plate"] == plate]
        annotated = {normalise_well(str(well)) or str(well) for well in here["well"]}
        lacking = sorted(annotated - set(table.frame["well"]))
        if lacking:
            tqdm.write(
                f"{len(lacking)} annotated wells of plate {plate} have no row in {Path(path).name} "
                f"and no image: {', '.join(lacking)}."
            )
        return table.of_wells(set(here["well"]))

    def download(
        self,
        plate: str,
        annotation: str | Path,
        archive: str | Path,
        load_data: str | Path,
        lock: str | Path | None,
    ) -> None:
        """Download a plate's table, and the planes of the selected wells into one archive.

        Parameters
        ----------
        plate
            One of `plates`.
        annotation
            See `read_wells`.
        archive, load_data
            The two files to write.
        lock
            See `morphpipe.datasets.fetch.download.fetch`. The planes have no published checksums:
            those of the first download are verified.
        """
        # Slow to import, and not needed for a dry run.
        from morphpipe.datasets.fetch.many_files import fetch_plate
        from morphpipe.datasets.fetch.obtain import obtain, obtain_made

        address = self._table_of(plate)
        obtain(address, load_data, lock=lock)
        table = self._load_data(plate, load_data, self.read_wells(annotation))
        keys = table.keys(self.settings.channels)
        selection = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
        _require_planes(Path(archive), keys, lock)
        obtain_made(
            f"{address}#{selection}",
            archive,
            lambda: fetch_plate(self.settings.address, keys, archive),
            lock=lock,
        )

    def plate_sheet(
        self, plate: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple[SampleSheet, pd.DataFrame]:
        """The sample sheet of a plate that has been fetched; none of its fields lacks an image.

        Parameters
        ----------
        plate
            One of `plates`.
        files
            `archive`, `load_data` and `annotation`, see `download`.
        folder
            Where the sheet will be written.
        """
        (archive,), (load_data,), (annotation,) = (
            files[name] for name in ("archive", "load_data", "annotation")
        )
        settings, wells = self.settings, self.read_wells(annotation)
        sheet = gallery_sheet(
            self._load_data(plate, load_data, wells),
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
        # The download would have failed without every plane of the table.
        return sheet, pd.DataFrame()


def _require_planes(archive: Path, keys: Sequence[str], lock: str | Path | None) -> None:
    """Remove an archive with a different selection of planes from an earlier run.

    Raises
    ------
    DataError
        If the archive was put there by hand and lacks planes.
    """
    if not archive.is_file():
        return
    try:
        with zipfile.ZipFile(archive) as content:
            missing = [key for key in keys if key not in content.NameToInfo]
    except ZIP_ERRORS as error:
        raise DataError(
            f"{archive} cannot be read as a zip archive ({error}): move it away to download its "
            "planes again."
        ) from None
    if not missing:
        return
    if lock is None or address_of_checksum(lock, sha256_of_file(archive)) is None:
        raise DataError(
            f"{archive} was put there by hand and lacks {len(missing)} of {len(keys)} required "
            f"planes, e.g. {missing[0]}: add them, or move it away to download all."
        )
    archive.unlink()
