"""Published single-cell crops as a source of datasets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from morphpipe.config.datasets import CropsDataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.crops import LAYOUTS, build_fields
from morphpipe.datasets.sources.source import Download, InPlaceSource, Work
from morphpipe.tables.fields import FieldTable

# Crops of a plate, about: 98,000 of BBBC021's 55 plates (CellFlux, table 1).
_CROPS_PER_PLATE = 1_800


class CropsSource(InPlaceSource[CropsDataset]):
    """One archive, or folder, for all plates."""

    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards, one per plate; any of them can hold crops of any cell type."""
        return range(self.settings.shards)

    @property
    def channels(self) -> int:
        """Number of channels of a crop."""
        return len(LAYOUTS[self.settings.layout].channels)

    def fields(self) -> tuple[int, int]:
        """Number of crops, about, and their height in pixels."""
        return _CROPS_PER_PLATE * self.settings.shards, self.settings.size

    def work(self) -> Iterator[Work]:
        """Nothing that takes time but the download, whose size is not known beforehand."""
        yield from ()

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """The archive, if it is at an address."""
        settings = self.settings
        if settings.is_downloaded:
            yield Download(what, settings.images, f"{folder}/crops.zip", settings.licence)

    def catalogue(
        self, name: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple[FieldTable, pd.DataFrame]:
        """The crops as configured, and those without an array; `files` has `images`.

        Raises
        ------
        DataError
            See `morphpipe.datasets.sources.crops.build_fields`; and when there are more or fewer
            plates than `shards`.
        """
        settings = self.settings
        fields, missing = build_fields(
            files["images"][0],
            folder,
            dataset=name,
            layout=LAYOUTS[settings.layout],
            index=settings.index,
            size=settings.size,
            licence=settings.licence,
            cell_type=settings.cell_type,
            separate_doses=settings.separate_doses,
            batches=settings.batches,
            plates=settings.plates,
            perturbations=settings.perturbations,
            quarantine=settings.quality.unreadable == "quarantine",
        )
        plates = fields.keys()["plate"].nunique()
        if plates != settings.shards:
            raise DataError(
                f"The chosen crops are of {plates} plates, and the dataset has {settings.shards} "
                f"shards: set `shards: {plates}`."
            )
        return fields, missing
