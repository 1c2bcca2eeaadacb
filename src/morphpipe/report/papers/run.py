"""A run as the papers' items see it: roles, facts of its experiments, and their files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from morphpipe.config.papers import MorphGenItems, MorphoDiffItems, PaperEncoders, Papers
from morphpipe.core.errors import ConfigError
from morphpipe.evaluation.core.summary import read_metrics
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.items import Item
from morphpipe.report.papers.measured import Metrics
from morphpipe.report.papers.setups import ENCODER_KINDS

# What stands under these names is no metric table.
_OTHER_FILES = frozenset(
    ("images", "features", "morphology", "comparison", "ranking", "codec", "settings")
)


@dataclass
class PaperRun:
    """What an item is made from.

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

    def of(self, paper: str) -> MorphGenItems | MorphoDiffItems:
        """Roles and names of a paper."""
        return self.papers.morphgen if paper == "morphgen" else self.papers.morphodiff

    def experiment(self, role: str, paper: str = "morphgen") -> ExperimentFacts | None:
        """The experiment in a role; of a comparison, its model. None where the role is empty."""
        name = self.of(paper).roles.get(role)
        if name is not None and paper == "morphodiff":
            name = self.comparisons[name][0]
        return None if name is None else self.facts[name]

    def baseline(self, role: str) -> ExperimentFacts | None:
        """The baseline of MorphoDiff's comparison in a role."""
        name = self.of("morphodiff").roles.get(role)
        return None if name is None else self.facts[self.comparisons[name][1]]

    def encoder(self, facts: ExperimentFacts, kind: str, paper: str = "morphgen") -> str:
        """The encoder whose numbers an experiment has for a kind of number.

        The configured one; where the experiment is not evaluated by it, the one of the paper's
        kind, and else the first of its evaluation.
        """
        encoders: PaperEncoders = self.of(paper).encoders
        named = getattr(encoders, kind)
        if named in facts.encoders:
            return str(named)
        of_kind = [n for n, e in facts.encoders.items() if e["kind"] == ENCODER_KINDS[kind]]
        return (of_kind or list(facts.encoders))[0]

    @cached_property
    def _metrics(self) -> dict[str, Metrics]:
        return {}

    def metrics(self, facts: ExperimentFacts) -> Metrics:
        """The metric tables of an experiment that the item needs, read once."""
        if facts.name not in self._metrics:
            paths = {
                what: path
                for what, path in self.files.get(facts.name, {}).items()
                if what not in _OTHER_FILES
            }
            morphology = self.files.get(facts.name, {}).get("morphology")
            if morphology:
                paths["morphology"] = morphology["metrics"]
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
