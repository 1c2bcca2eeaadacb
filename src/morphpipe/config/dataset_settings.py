"""What the settings of all datasets have in common."""

from typing import ClassVar

from morphpipe.config.base import Model


class DatasetSettings(Model):
    """What the settings of a dataset answer without any data, whichever source it is of.

    Attributes
    ----------
    title
        Name of the source for people, within a sentence.
    needs_acceptance
        Whether the licence has to be accepted before a run.
    has_true_effects
        Whether the effects of the perturbations are known.
    raw
        Whether planes are preprocessed, plate by plate.
    plate_archives
        Whether the planes of each plate are downloaded as an archive of their own.
    planes_in_place
        Whether planes are read from the published archive, beside a table of the fields.
    recursion_colours
        Whether grey values are those that Recursion's table of colours was made for.
    names_controls
        Whether negative controls are named in the settings.
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
        """Names of the tables that are downloaded beside the planes."""
        return ()

    @property
    def downloaded(self) -> dict[str, str]:
        """Names of the archives that are downloaded, and of their files in the cache."""
        return {}

    @property
    def own_files(self) -> dict[str, list[str]]:
        """Files of one's own that the images are read from, by name."""
        return {}

    def table_address(self, table: str) -> str:
        """Address of one of `tables`."""
        return str(getattr(self, table))

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the addresses of all files that are downloaded begin with."""
        return ()

    @property
    def origin(self) -> str:
        """Where the images come from: the first of `addresses`."""
        return self.addresses[0].rstrip("/")

    @property
    def checksums(self) -> dict[str, str]:
        """Configured SHA-256 of downloaded files, by address."""
        return {}
