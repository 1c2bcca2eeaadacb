"""Comparability of a run with a paper, computed from the configuration."""

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
    """Whether results are comparable with the paper.

    Attributes
    ----------
    status
        ``no``: different data or weights, so no difference is computed. ``partly``: the same data
        and weights, but different training, sampling or selection of images. ``yes``: no known
        differences. ``published only``: the run has no such experiment.
    sentences
        Similarities and differences.
    """

    status: Status
    sentences: tuple[str, ...]

    @property
    def allows_differences(self) -> bool:
        """Whether differences to published values are meaningful."""
        return self.status in ("yes", "partly")


def _data(facts: ExperimentFacts, setup: Setup) -> tuple[bool, str]:
    here = facts.origin.title + (f" ({facts.project})" if facts.project else "")
    there = SETTINGS[setup.source].title + (f" ({setup.project})" if setup.project else "")
    if (facts.source, facts.project) == (setup.source, setup.project):
        return True, f"Data: {here}, as in the paper."
    return False, f"Data: {here}; the paper uses {there}."


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
    text = "; ".join(f"{what} {here} (paper: {there})" for what, here, there in other)
    return False, f"Weights: {text}."


def _features(run: PaperRun, facts: ExperimentFacts, item: Item) -> tuple[bool, str] | None:
    """Whether the encoder is the paper's; None without an encoder."""
    kinds = PAPERS[item.paper].encoders
    if item.numbers not in kinds:
        return None
    wanted = kinds[item.numbers]
    encoder = run.encoder(facts, item.numbers, item.paper)
    kind, weights = facts.encoders[encoder]["kind"], facts.encoders[encoder]["weights"]
    if kind != wanted:
        return False, f"Features: {kind} ({encoder}), {weights}; the paper uses {wanted}."
    if weights == TRAINED_HERE and wanted == "resnet18":
        return True, (
            "Features: a ResNet-18 trained in this run on separate fields; the paper does not "
            "describe its training."
        )
    return True, f"Features: {kind}, as in the paper."


def _course(facts: ExperimentFacts, setup: Setup) -> tuple[list[str], list[str]]:
    """Return differences and similarities in training and sampling."""
    seeds = len(facts.training_seeds) * len(facts.sampling_seeds)
    other, same = [], []
    for what, here, there, place in (
        ("training steps", facts.steps, setup.steps, setup.steps_place),
        ("generated images per condition", facts.per_condition, setup.per_condition,
         setup.per_condition_place),
        ("repetitions with different seeds", seeds, setup.repetitions, ""),
    ):  # fmt: skip
        at = f" ({place})" if place else ""
        if there is None:
            same.append(f"{here:,} {what} (not given in the paper)")
        elif here == there:
            same.append(f"{here:,} {what}{at}")
        else:
            other.append(f"{here:,} {what} (paper: {there:,}{at})")
    return other, same


def role_verdict(
    run: PaperRun, item: Item, paper: str, role: str, facts: ExperimentFacts
) -> Verdict:
    """Compare one experiment with the paper's in its role."""
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
        sentences.append(f"As in the paper, or not given in it: {'; '.join(same)}.")
    if other:
        sentences.append(f"Different from the paper: {'; '.join(other)}.")
    test = facts.fractions.get("test")
    share = "held-out wells" if test is None else f"{test:.0%} of the wells, held out"
    sentences.append(f"Real images: {share}, each image once; {setup.real_images}.")
    return Verdict("partly", tuple(sentences))


def _worst(found: Sequence[Status]) -> Status:
    if len(set(found)) == 1:
        return found[0]
    return "partly"


def verdicts(run: PaperRun, item: Item) -> dict[tuple[str, str], Verdict]:
    """Return the verdicts of all non-empty roles of an item, by paper and role."""
    return {
        (paper, role): role_verdict(run, item, paper, role, facts)
        for paper, role, facts in run.used(item)
    }


def item_verdict(run: PaperRun, item: Item) -> Verdict:
    """Return the verdict of the whole item, over all of its roles."""
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
    """Describe names that replace the paper's; empty if there are none."""
    sentences = []
    for what, mapping in (("cell types", names.cell_types), ("perturbations", names.perturbations)):
        other = {k: v for k, v in mapping.items() if k != v}
        if other:
            pairs = ", ".join(f"{here} for {there}" for there, here in other.items())
            sentences.append(f"Stand-ins for the paper's {what}: {pairs}.")
    return sentences


def about_item(item: Item, run: PaperRun) -> dict[str, Any]:
    """Return the general part of the `item.json` of an item."""
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
