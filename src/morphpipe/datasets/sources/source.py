"""Interface of dataset sources: what is known before any job runs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

from morphpipe.config.dataset_settings import DatasetSettings
from morphpipe.config.raw_datasets import RawDataset

if TYPE_CHECKING:  # reading sheets takes long to import
    import pandas as pd

    from morphpipe.datasets.sources.sheet import SampleSheet
    from morphpipe.tables.fields import FieldTable

Settings = TypeVar("Settings", bound=DatasetSettings)
Raw = TypeVar("Raw", bound=RawDataset)

PARTS = "many small parts, assembled by the workflow's rule: run it on a machine with a network"
NO_LICENCE = "the configuration gives no licence for this table"
# Sizes of an official zip of BBBC021 and (roughly) of a plate of the Cell Painting Gallery.
_PLATE_BYTES = 0.8e9


@dataclass(frozen=True)
class Download:
    """A file to download.

    Attributes
    ----------
    what
        The part of the configuration that needs it.
    source
        Address.
    path
        Expected path.
    licence
        From the configuration; None if not given.
    size
        Bytes; None if unknown.
    sha256
        Expected checksum, configured or recorded at an earlier download; None if unknown.
    note
        Advice for downloading it by hand.
    """

    what: str
    source: str
    path: str
    licence: str | None
    size: int | None = None
    sha256: str | None = None
    note: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the file exists; its content is not checked."""
        return Path(self.path).exists()


class Work(NamedTuple):
    """A preparation step: name, jobs, seconds on two cores, bytes kept."""

    what: str
    jobs: int
    seconds: float
    size: float


class Source(ABC, Generic[Settings]):
    """A dataset with the knowledge of its source.

    Parameters
    ----------
    settings
        The dataset in the configuration.

    Attributes
    ----------
    checked
        Settings key that `check` validates, with a leading dot; empty for all.
    """

    checked: ClassVar[str] = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards, one per plate, with fields of these cell types (None for any)."""

    @property
    def number_of_shards(self) -> int:
        """Number of all shards."""
        return len(self.shards())

    @property
    def channels(self) -> int:
        """Number of channels of a field."""
        return 6

    @abstractmethod
    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""

    @abstractmethod
    def work(self) -> Iterator[Work]:
        """Steps to the field table, for the estimate of a run."""

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """Files to download; none by default.

        Parameters
        ----------
        what
            The dataset's key in the configuration.
        folder
            Folder of the files.
        """
        yield from ()

    def files_sha256(self, shard: int) -> str | None:
        """Hash of the sizes and dates of a plate's files; None for downloads."""
        return None

    def check(self) -> None:
        """Validate the dataset before a run; nothing by default.

        Raises
        ------
        MorphpipeError
            If the dataset cannot be used.
        """
        return


class InPlaceSource(Source[Settings]):
    """A dataset whose planes are read where they are, through a table of all its fields."""

    @abstractmethod
    def catalogue(
        self, name: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple["FieldTable", "pd.DataFrame"]:
        """The fields as configured, and `field_id` and `reason` of those without images.

        Parameters
        ----------
        name
            Name of the dataset.
        files
            The files by the names of the rule's inputs.
        folder
            Where the table will be written: archives are named relative to it.
        """


class RawSource(Source[Raw]):
    """A dataset whose planes are preprocessed per plate."""

    fields_per_plate: ClassVar[int]

    @abstractmethod
    def plates(self) -> Sequence[str]:
        """Names of the plates, in the order of the shards."""

    @abstractmethod
    def plate_sheet(
        self, plate: str, files: Mapping[str, Sequence[Path]], folder: Path
    ) -> tuple["SampleSheet", "pd.DataFrame"]:
        """The sample sheet of a plate, and `field_id` and `reason` of fields without images.

        Parameters
        ----------
        plate
            One of `plates`.
        files
            The downloaded files by the names of the rule's inputs.
        folder
            Where the sheet will be written.
        """

    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards, one per plate, with fields of any cell type."""
        return range(len(self.plates()))

    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""
        return self.fields_per_plate * self.number_of_shards, self.settings.preprocessing.size

    def work(self) -> Iterator[Work]:
        """Steps to the field table, for the estimate of a run."""
        plates, (fields, size) = self.number_of_shards, self.fields()
        if self.settings.plate_archives:
            yield Work("download", plates, 0.0, plates * _PLATE_BYTES)
        # 0.5 s per field of 1280x1024 in three channels, including reading.
        yield Work("preprocess", plates, fields * 0.5, fields * size**2 * 3.0)
