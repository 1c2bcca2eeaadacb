"""The simulated screen as a source of datasets."""

from collections.abc import Iterator, Sequence

from morphpipe.config.datasets import SimulatedDataset
from morphpipe.datasets.sources.source import Source, Work


class SimulatedSource(Source[SimulatedDataset]):
    """A simulated screen: no downloads, known sizes."""

    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards, one per plate, each with fields of all cell types."""
        return range(self.settings.plates)

    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""
        settings = self.settings
        conditions = len(settings.cell_types) * len(settings.perturbations)
        wells = conditions * settings.replicates * settings.plates
        return wells * settings.sites, settings.field_size

    def work(self) -> Iterator[Work]:
        """The simulation, for the estimate of a run."""
        fields, size = self.fields()
        # 12 ms per field of 96x96, measured on one core.
        seconds = fields * 0.006 * (size / 96) ** 2
        yield Work("simulate", self.number_of_shards, seconds, fields * size**2 * 5.0)

    def check(self) -> None:
        """Validate the design of the screen.

        Raises
        ------
        ConfigError
            If a cell type or perturbation is unknown, or a number is too small.
        """
        from morphpipe.datasets.simulated.source import screen_design

        screen_design(self.settings)
