"""BBBC021 as a source of datasets."""

from collections.abc import Iterator, Sequence

from morphpipe.config.datasets import BBBC021Dataset
from morphpipe.datasets.sources.bbbc021 import CHANNELS, PLATES, archive_name
from morphpipe.datasets.sources.source import Download, RawSource


class BBBC021Source(RawSource[BBBC021Dataset]):
    """BBBC021: an official archive for each plate, and tables."""

    fields_per_plate = 240

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return len(CHANNELS)

    def plates(self) -> Sequence[str]:
        """Names of the plates in the order of the shards."""
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
