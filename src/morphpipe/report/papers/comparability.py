"""Whether a run's numbers can be compared with a paper's: computed from the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from morphpipe.config.datasets import SETTINGS
from morphpipe.config.papers import PaperNames
from morphpipe.report.papers.facts import TRAINED_HERE, ExperimentFacts
from morphpipe.report.papers.items import Item
from morphpipe.report.papers.run import PaperRun
from morphpipe.report.papers.setups import PAPERS, Setup

Status = Literal["yes", "partly", "no", "published only"]


@dataclass(frozen=True)
class Verdict:
    """Whether numbers can be compared.

    Attributes
    ----------
    status
        ``no``: other data or other weights, so that no difference is formed. ``partly``: the same
        data and weights, but another training, sampling or choice of images. ``yes``: nothing
        that is known differs. ``published only``: the run has no such experiment.
    sentences
        What is the same and what differs.
    """

    status: Status
    sentences: tuple[str, ...]

    @property
    def allows_differences(self) -> bool:
        """Whether a difference to a published value means anything."""
        return self.status in ("yes", "partly")


def _data(facts: ExperimentFacts, setup: Setup) -> tuple[bool, str]:
    here = facts.origin.title + (f" ({facts.project})" if facts.project else "")
    there = SETTINGS[setup.source].title + (f" ({setup.project})" if setup.project else "")
    if (facts.source, facts.project) == (setup.source, setup.project):
        return True, f"Data: {here}, as in the paper."
    return False, f"Data: {here}; the paper's are {there}."


def _weights(facts: ExperimentFacts, setup: Setup, item: Item) -> tuple[bool, str]:
    pairs = [("autoencoder", facts.autoencoder, setup.autoencoder)]
    if item.trained:
        pairs.append(("network", facts.network, setup.network))
    if item.trained and setup.starting_weights is not None:
        started = facts.starting_weights or "none (from scratch)"
        pairs.append(("starting weights", started, setup.starting_weights))
    other = [(what, here, there) for what, here, there in pairs if there not in (None, here)]
    if not other:
        return True, "Weights: " + ", ".join(f"{what} {here}" for what, here, _ in pairs) + (
            ", as in the paper."
        )
    said = "; ".join(f"{what} {here} where the paper has {there}" for what, here, there in other)
    return False, f"Weights: {said}."


def _features(run: PaperRun, facts: ExperimentFacts, item: Item) -> tuple[bool, str] | None:
    """Whether the numbers come from the paper's encoder; None where no encoder is in play."""
    kinds = PAPERS[item.paper].encoders
    if item.numbers not in kinds:
        return None
    wanted = kinds[item.numbers]
    encoder = run.encoder(facts, item.numbers, item.paper)
    kind, weights = facts.encoders[encoder]["kind"], facts.encoders[encoder]["weights"]
    if kind != wanted:
        return False, f"Features: of {kind} ({encoder}), {weights}; the paper's are of {wanted}."
    if weights == TRAINED_HERE and wanted == "resnet18":
        return True, (
            "Features: of a ResNet-18 trained here on fields of its own; how the paper trained "
            "its own is not said."
        )
    return True, f"Features: of {kind}, as in the paper."


def _course(facts: ExperimentFacts, setup: Setup) -> tuple[list[str], list[str]]:
    """What differs in training and sampling, and what is the same."""
    seeds = len(facts.training_seeds) * len(facts.sampling_seeds)
    other, same = [], []
    for what, here, there, place in (
        ("training steps", facts.steps, setup.steps, setup.steps_place),
        ("generated images per condition", facts.per_condition, setup.per_condition,
         setup.per_condition_place),
        ("repetitions with other seeds", seeds, setup.repetitions, ""),
    ):  # fmt: skip
        at = f" ({place})" if place else ""
        if there is None:
            same.append(f"{here:,} {what}, of which the paper does not tell")
        elif here == there:
            same.append(f"{here:,} {what}{at}")
        else:
            other.append(f"{here:,} {what} where the paper has {there:,}{at}")
    return other, same


def role_verdict(
    run: PaperRun, item: Item, paper: str, role: str, facts: ExperimentFacts
) -> Verdict:
    """Hold one experiment against the paper's in its role."""
    setup = PAPERS[paper].roles[role]
    grounds = [_data(facts, setup)]
    if item.trained or item.numbers in ("autoencoder", "images"):
        grounds.append(_weights(facts, setup, item))
    features = _features(run, facts, item)
    if features is not None:
        grounds.append(features)
    sentences = [sentence for _, sentence in grounds]
    if not all(same for same, _ in grounds):
        return Verdict("no", tuple(sentences))
    if not item.trained or item.numbers == "configuration":
        return Verdict("yes", tuple(sentences))
    other, same = _course(facts, setup)
    if same:
        sentences.append(f"As in the paper, or not told by it: {'; '.join(same)}.")
    if other:
        sentences.append(f"Other than in the paper: {'; '.join(other)}.")
    test = facts.fractions.get("test")
    share = "the wells that are held out" if test is None else f"{test:.0%} of the wells, held out"
    sentences.append(f"Real images: {share} of training, each image once; {setup.real_images}.")
    return Verdict("partly", tuple(sentences))


def _worst(found: Sequence[Status]) -> Status:
    if len(set(found)) == 1:
        return found[0]
    return "partly"


def verdicts(run: PaperRun, item: Item) -> dict[tuple[str, str], Verdict]:
    """Of every filled role that an item is made from, by paper and role."""
    return {
        (paper, role): role_verdict(run, item, paper, role, facts)
        for paper, role, facts in run.used(item)
    }


def item_verdict(run: PaperRun, item: Item) -> Verdict:
    """Of the item as a whole: of its roles together, those that are empty named."""
    found = verdicts(run, item)
    empty = list(
        dict.fromkeys(need.role for need in item.needs if (need.paper, need.role) not in found)
    )
    lacking = [f"This run has no experiment in the role {', '.join(empty)}."] if empty else []
    if not found:
        return Verdict("published only", tuple(lacking))
    by_text: dict[tuple[str, ...], list[str]] = {}
    for (paper, role), verdict in found.items():
        facts = run.experiment(role, paper)
        assert facts is not None
        by_text.setdefault(verdict.sentences, []).append(facts.name)
    sentences = []
    for texts, names in by_text.items():
        head = f"{', '.join(dict.fromkeys(names))}: " if len(by_text) > 1 else ""
        sentences += [head + texts[0], *texts[1:]]
    return Verdict(_worst([v.status for v in found.values()]), (*sentences, *lacking))


def _stand_ins(names: PaperNames) -> list[str]:
    """Which of the run's names replace the paper's, as sentences; empty where none does."""
    said = []
    for what, mapping in (("cell types", names.cell_types), ("perturbations", names.perturbations)):
        other = {k: v for k, v in mapping.items() if k != v}
        if other:
            pairs = ", ".join(f"{here} for {there}" for there, here in other.items())
            said.append(f"Stand-ins for the paper's {what}: {pairs}.")
    return said


def about_item(item: Item, run: PaperRun) -> dict[str, Any]:
    """Describe an item before it is made: the head of its `item.json`."""
    verdict = item_verdict(run, item)
    names = run.of(item.paper).names
    filled = run.used(item)
    experiments = [facts.name for _, _, facts in filled]
    for paper, role, _ in filled:
        baseline = run.baseline(role, paper)
        experiments += [] if baseline is None else [baseline.name]
    return {
        "name": item.name,
        **item.model_dump(include={"paper", "kind", "number", "title", "caption", "section"}),
        "experiments": list(dict.fromkeys(experiments)),
        "comparable": verdict.status,
        "statement": [*verdict.sentences, *_stand_ins(names)],
    }
