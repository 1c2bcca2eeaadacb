"""A run for the papers' items: roles, facts about its experiments, and their files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from morphpipe.config.papers import PaperItems, Papers
from morphpipe.core.errors import ConfigError
from morphpipe.evaluation.core.summary import read_metrics
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.items import (
    AUTOENCODER,
    COMPARISON,
    FEATURES,
    IMAGES,
    MORPHOLOGY,
    RANKING,
    SETTINGS,
    Item,
)
from morphpipe.report.papers.measured import Metrics
from morphpipe.report.papers.setups import PAPERS

_NO_METRICS = (IMAGES, FEATURES, MORPHOLOGY, COMPARISON, RANKING, AUTOENCODER, SETTINGS)


def no_counterpart(what: str) -> str:
    """Reason for missing values of a label of a paper, such as `cell type HUVEC`."""
    return f"this run has no counterpart of the {what}"


@dataclass
class PaperRun:
    """Sources of an item.

    Attributes
    ----------
    papers
        Roles, encoders and names, from the configuration.
    facts
        Of the experiments that are needed, by name.
    comparisons
        Model and baseline of the comparisons that are needed, by name.
    files
        Paths by experiment or comparison, and by what they are
        (`morphpipe.report.papers.items.Need`).
    """

    papers: Papers
    facts: Mapping[str, ExperimentFacts] = field(default_factory=dict)
    comparisons: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "PaperRun":
        """Make a run of plain values, as the workflow hands them over."""
        return cls(
            Papers.model_validate(content["papers"]),
            {name: ExperimentFacts(**facts) for name, facts in content["facts"].items()},
            {name: (pair[0], pair[1]) for name, pair in content["comparisons"].items()},
            content["files"],
        )

    def of(self, paper: str) -> PaperItems:
        """Roles and names of a paper."""
        return self.papers.of(paper)

    def pair(self, role: str, paper: str) -> tuple[str, str] | None:
        """Model and baseline of the comparison in a role; None where it is of no comparison."""
        name = self.of(paper).roles.get(role)
        compared = self.of(paper).section == "comparisons"
        return self.comparisons[name] if compared and name is not None else None

    def experiment(self, role: str, paper: str) -> ExperimentFacts | None:
        """The experiment in a role; of a comparison, its model. None where the role is empty."""
        pair, name = self.pair(role, paper), self.of(paper).roles.get(role)
        name = pair[0] if pair is not None else name
        return None if name is None else self.facts[name]

    def baseline(self, role: str, paper: str) -> ExperimentFacts | None:
        """The baseline of the comparison in a role; None where there is none."""
        pair = self.pair(role, paper)
        return None if pair is None else self.facts[pair[1]]

    def encoder(self, facts: ExperimentFacts, kind: str, paper: str) -> str:
        """The encoder whose numbers an experiment has for a kind of number.

        The configured one; where the experiment is not evaluated by it, the one of the paper's
        kind, and else the first of its evaluation.
        """
        named = getattr(self.of(paper).encoders, kind)
        if named in facts.encoders:
            return str(named)
        of_kind = [
            n for n, e in facts.encoders.items() if e["kind"] == PAPERS[paper].encoders[kind]
        ]
        return (of_kind or list(facts.encoders))[0]

    def channel(self, paper: str, label: str) -> str:
        """The run's channel of one of a paper's organelles."""
        return self.of(paper).names.channels.get(label, PAPERS[paper].stains.get(label, label))

    def control(self, paper: str) -> str:
        """The run's name of a paper's negative control."""
        label = PAPERS[paper].control
        return self.of(paper).names.perturbation(label) or label

    @cached_property
    def _metrics(self) -> dict[str, Metrics]:
        return {}

    def metrics(self, facts: ExperimentFacts) -> Metrics:
        """The metric tables of an experiment that the item needs, read once."""
        if facts.name not in self._metrics:
            paths = {
                what: path
                for what, path in self.files.get(facts.name, {}).items()
                if what not in _NO_METRICS
            }
            morphology = self.files.get(facts.name, {}).get(MORPHOLOGY)
            if morphology:
                paths[MORPHOLOGY] = morphology["metrics"]
            self._metrics[facts.name] = Metrics(
                {what: read_metrics([path]) for what, path in paths.items()}
            )
        return self._metrics[facts.name]

    def paths(self, name: str, what: str) -> Any:
        """Files of an experiment or comparison.

        Raises
        ------
        ConfigError
            If the run does not make them.
        """
        found = self.files.get(name, {}).get(what)
        if not found:
            raise ConfigError(f"This run has no {what} of {name}: its evaluation leaves them out.")
        return found

    def used(self, item: Item) -> list[tuple[str, str, ExperimentFacts]]:
        """Paper, role and experiment of what an item is made from, each once, filled roles only."""
        pairs = dict.fromkeys((need.paper, need.role) for need in item.needs)
        found = [(paper, role, self.experiment(role, paper)) for paper, role in pairs]
        return [(paper, role, facts) for paper, role, facts in found if facts is not None]
