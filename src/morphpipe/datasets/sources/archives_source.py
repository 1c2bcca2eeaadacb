"""Image archives of morphpipe as a source of datasets: single-cell crops, shared data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from morphpipe.config.datasets import ArchivesDataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.source import InPlaceSource, Work
from morphpipe.tables.archive import read_fields
from morphpipe.tables.fields import FieldTable, concatenate

# Crops of a plate of the demo's screen, about.
_IMAGES_PER_PLATE = 1_000


class ArchivesSource(InPlaceSource[ArchivesDataset]):
    """Archives with a field table each, read in place."""

    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards, one per plate; any of them can hold images of any cell type."""
        return range(self.settings.shards)

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.settings.channels

    def fields(self) -> tuple[int, int]:
        """Number of images, about, and their height in pixels."""
        return _IMAGES_PER_PLATE * self.settings.shards, self.settings.size

    def work(self) -> Iterator[Work]:
        """Nothing that takes time."""
        yield from ()

    def catalogue(
        self, name: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple[FieldTable, pd.DataFrame]:
        """All images of the archives, under the name of this dataset; none is missing.

        Raises
        ------
        DataError
            If an archive has generated images, images of another size, or other channels than the
            first; or if there are more or fewer plates than `shards`.
        """
        settings = self.settings
        parts = []
        for path in files["images"]:
            part = read_fields(path)
            keys = part.keys()
            if (keys["origin"] != "real").any():
                raise DataError(
                    f"{path} has generated images, which cannot be a dataset: name archives of "
                    "real images."
                )
            sizes = keys[["height", "width"]].drop_duplicates()
            if len(part) and (sizes.to_numpy() != settings.size).any():
                height, width = sizes.iloc[0]
                raise DataError(
                    f"The images in {path} have {height}x{width} pixels, not "
                    f"{settings.size}x{settings.size}: set `size`."
                )
            if len(part.manifest.channels) != settings.channels:
                raise DataError(
                    f"The images in {path} have {len(part.manifest.channels)} channels: set "
                    f"`channels: {len(part.manifest.channels)}`."
                )
            parts.append(part)
        joined = concatenate(parts, folder)
        place = joined.table.schema.get_field_index("dataset")
        column = joined.table.schema.field(place)
        table = joined.table.set_column(place, column, [[name] * len(joined)])
        plates = joined.keys()["plate"].nunique()
        if plates != settings.shards:
            raise DataError(
                f"The archives have images of {plates} plates, and the dataset has "
                f"{settings.shards} shards: set `shards: {plates}`."
            )
        return replace(joined, table=table), pd.DataFrame(columns=["field_id", "reason"])
