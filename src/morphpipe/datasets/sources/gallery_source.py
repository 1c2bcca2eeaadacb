"""The Cell Painting Gallery as a source of datasets."""

from collections.abc import Iterator, Sequence

from morphpipe.config.datasets import GalleryDataset
from morphpipe.datasets.sources.gallery import GalleryBatch
from morphpipe.datasets.sources.source import NO_LICENCE, PARTS, Download, RawSource


class GallerySource(RawSource[GalleryDataset]):
    """A project of the gallery: single planes, and tables of them."""

    # Plates of 384 wells with nine sites each.
    fields_per_plate = 384 * 9

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return len(self.settings.channels)

    def plates(self) -> Sequence[str]:
        """Names of the plates in the order of the shards."""
        return self.settings.plates

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """The table of wells, and of each plate its table and its planes."""
        settings = self.settings
        place = f"{folder}/annotation.csv"
        yield Download(f"{what}.annotation", settings.annotation, place, None, note=NO_LICENCE)
        batch = GalleryBatch(settings.project, settings.institution, settings.batch)
        bucket = settings.address.rstrip("/")
        for shard, plate in enumerate(settings.plates):
            table = f"{bucket}/{batch.load_data_key(plate, settings.load_data)}"
            place = f"{folder}/plates/shard-{shard}"
            planes = f"the planes that {table} names"
            yield Download(what, table, f"{place}.csv", settings.licence)
            yield Download(what, planes, f"{place}.zip", settings.licence, note=PARTS)
