"""Registry of dataset sources, by the `source` of their settings."""

from importlib import import_module
from typing import Any

from morphpipe.config.datasets import Dataset
from morphpipe.datasets.sources.source import Source

# Imported lazily: readers of sheets are slow to import.
SOURCES = {
    "simulated": "simulated_source.SimulatedSource",
    "rxrx1": "rxrx1_source.RxRx1Source",
    "bbbc021": "bbbc021_source.BBBC021Source",
    "gallery": "gallery_source.GallerySource",
    "sheet": "sheet_source.SheetSource",
    "crops": "crops_source.CropsSource",
    "archives": "archives_source.ArchivesSource",
}


def source_of(settings: Dataset) -> Source[Any]:
    """Return the source of a dataset."""
    module, _, name = SOURCES[settings.source].partition(".")
    source: Source[Any] = getattr(import_module(f"{__package__}.{module}"), name)(settings)
    return source
