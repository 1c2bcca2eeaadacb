"""Context for drawing a figure: its item, its run, and notes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from morphpipe.core.errors import DataError
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.items import Item
from morphpipe.report.papers.run import PaperRun, no_counterpart

Labels = Sequence[str]


@dataclass
class PaperFigure:
    """Item and run of a figure, with `notes` that are added while drawing."""

    item: Item
    run: PaperRun
    notes: list[str] = field(default_factory=list)

    @property
    def facts(self) -> ExperimentFacts:
        """The experiment of the figure; raises DataError if its role is empty."""
        item = self.item
        facts = self.run.experiment(item.main_role, item.paper)
        if facts is None:
            raise DataError(f"this run has no experiment in the role {item.main_role}")
        return facts

    @property
    def control(self) -> str:
        """The run's name of the negative control."""
        return self.run.control(self.item.paper)

    def cell_types(self, labels: Labels) -> list[str]:
        """Return the run's names of cell types; missing ones are added to the notes."""
        return self._known("cell type", labels)

    def perturbations(self, labels: Labels) -> list[str]:
        """Return the run's names of perturbations; missing ones are added to the notes."""
        return self._known("perturbation", labels)

    def _known(self, kind: str, labels: Labels) -> list[str]:
        names = self.run.of(self.item.paper).names
        translate = names.cell_type if kind == "cell type" else names.perturbation
        found = {label: translate(label) for label in labels}
        self.notes += [f"{no_counterpart(f'{kind} {k}')}." for k, v in found.items() if v is None]
        known = [name for name in found.values() if name is not None]
        if not known:
            raise DataError(no_counterpart(f"figure's {kind}s"))
        return known

    def conditions(self, pairs: Sequence[Labels]) -> list[tuple[str, str]]:
        """Return the run's conditions for the paper's; missing ones are added to the notes."""
        names, found = self.run.of(self.item.paper).names, []
        for cell_type, perturbation in pairs:
            here = names.cell_type(cell_type), names.perturbation(perturbation)
            if here[0] is None or here[1] is None:
                missing = no_counterpart(f"condition {cell_type}, {perturbation}")
                self.notes.append(f"{missing}.")
            else:
                found.append((here[0], here[1]))
        return found
