"""BBBC021 as a source of datasets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from morphpipe.config.raw_datasets import BBBC021Dataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.bbbc021 import (
    CHANNELS,
    COMPOUNDS_14,
    COMPOUNDS_98,
    NEGATIVE_CONTROL,
    PLATES,
    archive_name,
    bbbc021_sheet,
    compounds_on_plate,
)
from morphpipe.datasets.sources.sheet import SampleSheet
from morphpipe.datasets.sources.source import Download, RawSource


class BBBC021Source(RawSource[BBBC021Dataset]):
    """BBBC021: tables, and an official archive per plate."""

    fields_per_plate = 240

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return len(CHANNELS)

    def plates(self) -> Sequence[str]:
        """Names of the plates, in the order of the shards."""
        return PLATES if self.settings.plates is None else self.settings.plates

    def archive_address(self, shard: int) -> str:
        """Address of the archive of a plate."""
        return f"{self.settings.address}/{archive_name(self.plates()[shard])}"

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """The tables, and the archives of the plates."""
        settings = self.settings
        for table in settings.tables:
            address = settings.table_address(table)
            yield Download(what, address, f"{folder}/{table}.csv", settings.licence)
        for shard in range(self.number_of_shards):
            yield Download(
                what,
                self.archive_address(shard),
                f"{folder}/plates/shard-{shard}.zip",
                settings.licence,
                note="some 0.8 GB",
            )

    def plate_sheet(
        self, plate: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple[SampleSheet, pd.DataFrame]:
        """The fields of a plate, and those with images missing from its archive.

        Parameters
        ----------
        plate
            For instance `Week1_22123`.
        files
            `archive`, the plate's zip as published, and `tables` in the order of
            `settings.tables`.
        folder
            Where the sheet will be written.

        Raises
        ------
        DataError
            When the plate holds none of the chosen compounds.
        """
        image, moa, *compound = files["tables"]
        chosen: Sequence[str] | None = self.settings.perturbations
        if chosen is None and self.settings.compounds != "all":
            lists = {"14": COMPOUNDS_14, "98": COMPOUNDS_98}
            chosen = [*lists[self.settings.compounds], NEGATIVE_CONTROL]
        if chosen is not None:
            # No plate has all compounds, but each should have one of the selected.
            chosen = sorted(set(chosen) & compounds_on_plate(image, plate))
            if not chosen:
                raise DataError(
                    f"Plate {plate} of BBBC021 has none of the selected compounds: remove it from "
                    "the dataset's `plates`."
                )
        return bbbc021_sheet(
            image,
            moa,
            compound[0] if compound else None,
            {plate: files["archive"][0]},
            folder,
            compounds=chosen,
        )
