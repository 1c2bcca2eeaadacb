"""Base class of all dataset settings."""

from typing import ClassVar

from morphpipe.config.base import Model


class DatasetSettings(Model):
    """Settings of a dataset, and facts about its source that need no data.

    Attributes
    ----------
    title
        Readable name of the source, for use within a sentence.
    needs_acceptance
        Whether the licence has to be accepted before a run.
    has_true_effects
        Whether the true effects of the perturbations are known.
    raw
        Whether planes are preprocessed, plate by plate.
    plate_archives
        Whether each plate is downloaded as a separate archive.
    planes_in_place
        Whether planes are read from the published archive, with a separate field table.
    recursion_colours
        Whether Recursion's table of colours applies to the grey values.
    names_controls
        Whether the settings name the negative controls.
    """

    title: ClassVar[str]
    needs_acceptance: ClassVar[bool] = True
    has_true_effects: ClassVar[bool] = False
    raw: ClassVar[bool] = False
    plate_archives: ClassVar[bool] = False
    planes_in_place: ClassVar[bool] = False
    recursion_colours: ClassVar[bool] = False
    names_controls: ClassVar[bool] = False

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are downloaded in addition to the planes."""
        return ()

    @property
    def downloaded(self) -> dict[str, str]:
        """Downloaded archives: file name in the cache by archive name."""
        return {}

    @property
    def own_files(self) -> dict[str, list[str]]:
        """Local files that the images are read from, by name."""
        return {}

    def table_address(self, table: str) -> str:
        """Return the address of one of `tables`."""
        return str(getattr(self, table))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Prefixes of the addresses of all downloaded files."""
        return ()

    @property
    def origin(self) -> str:
        """Origin of the images: the first of `addresses`."""
        return self.addresses[0].rstrip("/")

    @property
    def checksums(self) -> dict[str, str]:
        """Configured SHA-256 checksums of downloaded files, by address."""
        return {}
