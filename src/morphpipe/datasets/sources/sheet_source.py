"""A user's sample sheet as a source of datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from morphpipe.config.raw_datasets import SheetDataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.sheet import ILLUMINATION, SampleSheet, SheetChannel
from morphpipe.datasets.sources.sheet_plates import files_sha256, rows_sha256, sheet_plates
from morphpipe.datasets.sources.source import RawSource
from morphpipe.tables.user_tables import read_user_table


class SheetSource(RawSource[SheetDataset]):
    """User plates: the sheet locates the files, and nothing is downloaded."""

    checked = ".sheet"

    @property
    def planes(self) -> tuple[SheetChannel, ...]:
        """The channels with their columns, in order."""
        return tuple(
            SheetChannel(channel.name, channel.stain, channel.column or channel.name)
            for channel in self.settings.channels
        )

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return len(self.settings.channels)

    def plates(self) -> Sequence[str]:
        """Plates of the sheet by first row, so that a new plate comes last.

        Raises
        ------
        DataError
            If the sheet cannot be read.
        """
        return sheet_plates(self.settings.sheet)

    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""
        rows = read_user_table(self.settings.sheet, "sample sheet")
        return len(rows), self.settings.preprocessing.size

    def rows_sha256(self, shard: int) -> str:
        """Hash of a plate's rows in the sheet."""
        return rows_sha256(self.settings.sheet, self.plates()[shard])

    def files_sha256(self, shard: int) -> str:
        """Hash of the sizes and dates of a plate's files, which are too many for job inputs."""
        columns = [channel.column for channel in self.planes]
        if self.settings.preprocessing.illumination == "given":
            columns += [f"{ILLUMINATION}{channel.name}" for channel in self.planes]
        return files_sha256(self.settings.sheet, self.plates()[shard], columns)

    def check(self) -> None:
        """Check that the sheet can be read, see `plates`."""
        self.plates()

    def plate_sheet(
        self, plate: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple[SampleSheet, pd.DataFrame]:
        """The chosen rows of one plate, all of which have images; `files` are not needed.

        Raises
        ------
        DataError
            If the sheet is unreadable, or the plate has none of the selected perturbations.
        """
        from morphpipe.datasets.sources.user_sheet import read_sheet

        settings = self.settings
        sheet = read_sheet(
            settings.sheet,
            self.planes,
            cell_type=settings.cell_type,
            perturbation_kind=settings.perturbation_kind,
            negative_controls=settings.negative_controls,
            positive_controls=settings.positive_controls,
            pixel_size=settings.pixel_size,
            licence=settings.licence,
            source=f"own plates, {Path(settings.sheet).name}",
        ).of_plate(plate)
        if settings.perturbations is None:
            return sheet, pd.DataFrame()
        rows = sheet.frame["perturbation"].isin(list(settings.perturbations))
        if not rows.any():
            raise DataError(
                f"Plate {plate} has none of the selected perturbations: remove it from the "
                "dataset's `plates`."
            )
        return replace(sheet, frame=sheet.frame[rows].reset_index(drop=True)), pd.DataFrame()
