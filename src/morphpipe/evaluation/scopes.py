"""Which conditions a row of the metric table is about: all, a cell type, a perturbation, a pair."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from morphpipe.evaluation.feature_set import FeatureSet


@dataclass(frozen=True)
class Scope:
    """Conditions that are measured together; None stands for all of them."""

    cell_type: str | None
    perturbation: str | None

    def of(self, images: FeatureSet) -> FeatureSet:
        """Select the images of these conditions."""
        mask = np.ones(len(images), dtype=bool)
        if self.cell_type is not None:
            mask &= images.column("cell_type") == self.cell_type
        if self.perturbation is not None:
            mask &= images.column("perturbation") == self.perturbation
        return images.select(mask)

    @property
    def is_everything(self) -> bool:
        """Whether no condition is singled out."""
        return self.cell_type is None and self.perturbation is None

    def shuffled(self, generated: FeatureSet) -> tuple[FeatureSet, str | None]:
        """Give images whatever their label of what is singled out here, and what else to match.

        Perturbations are shuffled within their cell types, cell types within perturbations.
        """
        if self.perturbation is None:
            return generated, "perturbation"
        if self.cell_type is None:
            return generated, "cell_type"
        return Scope(self.cell_type, None).of(generated), None

    @property
    def columns(self) -> dict[str, str]:
        """The columns cell_type and perturbation of the metric table."""
        return {
            "cell_type": "all" if self.cell_type is None else self.cell_type,
            "perturbation": "all" if self.perturbation is None else self.perturbation,
        }


def scopes(generated: FeatureSet) -> Iterator[Scope]:
    """Go through everything at once, each cell type, each perturbation, each generated pair."""
    cell_types, perturbations = generated.column("cell_type"), generated.column("perturbation")
    yield Scope(None, None)
    for cell_type in sorted(set(cell_types) - {""}):
        yield Scope(cell_type, None)
    for perturbation in sorted(set(perturbations) - {""}):
        yield Scope(None, perturbation)
    for cell_type, perturbation in sorted(set(zip(cell_types, perturbations, strict=True))):
        if cell_type and perturbation:
            yield Scope(cell_type, perturbation)


def of_generated_conditions(images: FeatureSet, generated: FeatureSet) -> FeatureSet:
    """Select images of the generated conditions.

    A column that the generated images leave empty (cell types drawn without conditioning on the
    perturbation) does not restrict.
    """
    columns = [c for c in ("cell_type", "perturbation") if (generated.column(c) != "").any()]
    if not columns:
        return images

    def conditions(of: FeatureSet) -> list[tuple[str, ...]]:
        return list(zip(*(of.column(column) for column in columns), strict=True))

    wanted = set(conditions(generated))
    return images.select(np.array([c in wanted for c in conditions(images)], dtype=bool))
