"""RxRx1 as a source of datasets."""

from collections.abc import Iterator, Sequence

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.datasets.sources.source import NO_LICENCE, PARTS, Download, Source, Work

# Recursion's page of RxRx1: the archive is 47 GB, of 125,510 sites of 512x512 on 204 plates.
_BYTES = 47_000_000_000
_FIELDS, _SIZE, _PLATES = 125_510, 512, 204


class RxRx1Source(Source[RxRx1Dataset]):
    """RxRx1: two archives for all plates."""

    @property
    def number_of_shards(self) -> int:
        """Number of shards: one per plate."""
        return self.settings.shards

    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards that can hold fields of these cell types (None: of any)."""
        return self.settings.shards_with(None if cell_types is None else list(cell_types))

    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""
        return _FIELDS * self.number_of_shards // _PLATES, _SIZE

    def work(self) -> Iterator[Work]:
        """The download, for the estimate of a run."""
        yield Work("download", 2, 0.0, _BYTES)

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """The archive of planes, the metadata, and the table of genes where one is configured."""
        settings, whole = self.settings, self.settings.fetch == "whole"
        yield Download(
            what,
            settings.images,
            f"{folder}/rxrx1-images.zip",
            settings.licence,
            _BYTES if whole else None,
            settings.images_sha256,
            "" if whole else PARTS,
        )
        yield Download(
            what,
            settings.metadata,
            f"{folder}/rxrx1-metadata.zip",
            settings.licence,
            sha256=settings.metadata_sha256,
        )
        if settings.genes is not None:
            place = f"{folder}/genes.csv"
            yield Download(f"{what}.genes", settings.genes, place, None, note=NO_LICENCE)
