"""A user's sample sheet as a source of datasets."""

from collections.abc import Sequence

from morphpipe.config.datasets import SheetDataset
from morphpipe.datasets.sources.sheet import ILLUMINATION
from morphpipe.datasets.sources.sheet_plates import files_sha256, rows_sha256, sheet_plates
from morphpipe.datasets.sources.source import RawSource
from morphpipe.tables.user_tables import read_user_table


class SheetSource(RawSource[SheetDataset]):
    """One's own plates: the files are where the sheet says, and nothing is downloaded."""

    checked = ".sheet"

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return len(self.settings.channels)

    def plates(self) -> Sequence[str]:
        """Plates of the sheet in the order of their first rows: a new one is the last.

        Raises
        ------
        DataError
            When the sheet cannot be read.
        """
        return sheet_plates(self.settings.sheet)

    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""
        rows = read_user_table(self.settings.sheet, "sample sheet")
        return len(rows), self.settings.preprocessing.size

    def rows_sha256(self, shard: int) -> str:
        """Hash of a plate's own rows in the sheet."""
        return rows_sha256(self.settings.sheet, self.plates()[shard])

    def files_sha256(self, shard: int) -> str:
        """Hash of the sizes and dates of a plate's files, too many to be inputs of a job."""
        settings = self.settings
        columns = [channel.column or channel.name for channel in settings.channels]
        if settings.preprocessing.illumination == "given":
            columns += [f"{ILLUMINATION}{channel.name}" for channel in settings.channels]
        return files_sha256(settings.sheet, self.plates()[shard], columns)

    def check(self) -> None:
        """Check that the sheet can be read, see `plates`."""
        self.plates()
