"""Scopes of metric rows: everything, a cell type, a perturbation, a pair, a group."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.feature_set import FeatureSet

# Number of perturbations compared when no set is configured.
_MOST_FREQUENT = 10

# Names of groups: "moa: Eg5 inhibitors", "distribution: out", "set: frequent".
MECHANISM, DISTRIBUTION, PERTURBATION_SET = "moa", "distribution", "set"


@dataclass(frozen=True)
class Group:
    """Perturbations measured together, under their name in the metric table."""

    name: str
    perturbations: tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """Conditions measured together; None means all.

    A group spans all cell types.
    """

    cell_type: str | None
    perturbation: str | None
    group: Group | None = None

    def of(self, images: FeatureSet) -> FeatureSet:
        """Select the images of these conditions."""
        mask = np.ones(len(images), dtype=bool)
        if self.cell_type is not None:
            mask &= images.column("cell_type") == self.cell_type
        if self.perturbation is not None:
            mask &= images.column("perturbation") == self.perturbation
        if self.group is not None:
            mask &= images.keys["perturbation"].isin(self.group.perturbations).to_numpy(bool)
        return images.select(mask)

    @property
    def is_everything(self) -> bool:
        """Whether the scope covers all conditions."""
        return self.cell_type is None and self.perturbation is None and self.group is None

    def shuffled(self, generated: FeatureSet) -> tuple[FeatureSet, str | None]:
        """Images with any label of the scoped column, and the column to match.

        Perturbations, and groups of them, are shuffled within their cell types, cell types within
        perturbations.
        """
        if self.perturbation is None and self.group is None:
            return generated, "perturbation"
        if self.cell_type is None:
            return generated, "cell_type"
        return Scope(self.cell_type, None).of(generated), None

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns cell_type, perturbation and group of the metric table."""
        group = None if self.group is None else self.group.name
        return {
            "cell_type": "all" if self.cell_type is None else self.cell_type,
            "perturbation": self.perturbation or group or "all",
            "group": group,
        }


def scopes(generated: FeatureSet, groups: Sequence[Group] = ()) -> Iterator[Scope]:
    """Iterate over all images, each cell type, perturbation, generated pair and group."""
    cell_types, perturbations = generated.column("cell_type"), generated.column("perturbation")
    yield Scope(None, None)
    for cell_type in sorted(set(cell_types) - {""}):
        yield Scope(cell_type, None)
    for perturbation in sorted(set(perturbations) - {""}):
        yield Scope(None, perturbation)
    for cell_type, perturbation in sorted(set(zip(cell_types, perturbations, strict=True))):
        if cell_type and perturbation:
            yield Scope(cell_type, perturbation)
    for group in groups:
        yield Scope(None, None, group)


def perturbation_groups(
    generated: FeatureSet, real: FeatureSet, training: FeatureSet | None
) -> list[Group]:
    """Group the generated perturbations by mechanism and by whether they occur in training.

    Parameters
    ----------
    generated
        Generated images, whose perturbations are grouped.
    real, training
        Real images of any conditions. A perturbation has the mechanism (`moa`) of its real images,
        "a / b" if they have two. It is out of distribution if no training image of any cell type
        has it; without training images there are no groups of this kind.

    Returns
    -------
    list of Group
        ``moa: …`` and ``distribution: in | out``; a kind with a single group is omitted, since it
        would repeat the overall result.
    """
    names = sorted(set(generated.column("perturbation")) - {""})
    named: dict[str, set[str]] = {}
    for images in [real] if training is None else [real, training]:
        pairs = set(zip(images.column("perturbation"), images.column("moa"), strict=True))
        for name, moa in pairs:
            if moa:
                named.setdefault(name, set()).add(moa)
    mechanisms = {name: " / ".join(sorted(named[name])) for name in names if name in named}
    groups = _labelled(MECHANISM, mechanisms)
    if training is not None:
        seen = set(training.column("perturbation"))
        sides = {name: "in" if name in seen else "out" for name in names}
        groups += _labelled(DISTRIBUTION, sides)
    return groups


def _labelled(kind: str, labels: Mapping[str, str]) -> list[Group]:
    """One group per label; none if all perturbations have the same label."""
    found = [
        Group(f"{kind}: {label}", tuple(name for name in labels if labels[name] == label))
        for label in sorted(set(labels.values()))
    ]
    return found if len(found) > 1 else []


def of_generated_conditions(images: FeatureSet, generated: FeatureSet) -> FeatureSet:
    """Select images of the generated conditions.

    A column that is empty for generated images does not restrict.
    """
    columns = [c for c in ("cell_type", "perturbation") if (generated.column(c) != "").any()]
    if not columns:
        return images

    def conditions(of: FeatureSet) -> list[tuple[str, ...]]:
        return list(zip(*(of.column(column) for column in columns), strict=True))

    wanted = set(conditions(generated))
    return images.select(np.array([c in wanted for c in conditions(images)], dtype=bool))


def most_frequent(images: FeatureSet, number: int) -> list[str]:
    """Return up to `number` perturbations with the most images, ties by name."""
    counts = pd.Series(images.column("perturbation")).value_counts().drop("", errors="ignore")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return [str(name) for name, _ in ordered[:number]]


def compared_perturbations(
    sets: Mapping[str, Sequence[str]], generated: FeatureSet, real: FeatureSet
) -> list[str]:
    """Select the perturbations to compare with each other.

    Parameters
    ----------
    sets
        Configured sets of perturbations; their members are used.
    generated, real
        Without sets, the most frequent real perturbations among the generated conditions.
    """
    named = [name for names in sets.values() for name in names]
    if named:
        return list(dict.fromkeys(named))
    return most_frequent(of_generated_conditions(real, generated), _MOST_FREQUENT)
