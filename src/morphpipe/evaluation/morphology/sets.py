"""The real and generated fields of one morphology comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.matching import condition_labels, match_sets
from morphpipe.evaluation.morphology.clustering import PERMUTATIONS
from morphpipe.evaluation.probes.classifier import FOLDS
from morphpipe.morphology.recipes import FittedRecipe, Prepared
from morphpipe.tables.metric_table import metric_row
from morphpipe.tables.schemas import MATCHED

EXTRACTOR = "cellprofiler"


@dataclass(frozen=True)
class MorphologySettings:
    """Settings of a morphology comparison.

    Attributes
    ----------
    floor_repeats
        Number of random split halves of the real wells.
    correlation
        Of mean profiles: ``pearson``, or ``spearman`` between the ranks of their features.
    correlation_floor
        ``mean`` over the split halves, or their ``minimum``.
    clustering_seeds
        Seeds of the k-means runs averaged for the normalised mutual information.
    count_bins
        Number of bins for matching cell counts.
    seed
        Seed of all draws.
    permutations
        Permutations of labels, for the level of chance of clusters.
    folds
        Folds of the linear classification, see `morphpipe.evaluation.probes.rows.probing_rows`.
    """

    floor_repeats: int
    correlation: Literal["pearson", "spearman"]
    correlation_floor: Literal["mean", "minimum"]
    clustering_seeds: Sequence[int]
    count_bins: int
    seed: int
    permutations: int = PERMUTATIONS
    folds: int = FOLDS


@dataclass(frozen=True)
class Side:
    """Fields of one origin after a recipe.

    Attributes
    ----------
    images
        The selected features and the metadata of the fields.
    points
        Input of classification and clustering: principal components if the recipe has them, else
        the features.
    counts
        int64 [n]: nuclei.
    """

    images: FeatureSet
    points: FeatureSet
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of fields."""
        return len(self.images)

    def select(self, rows: npt.ArrayLike) -> "Side":
        """Select rows by a boolean mask [n] or by position."""
        chosen: npt.NDArray[Any] = np.asarray(rows)
        return Side(self.images.select(rows), self.points.select(rows), self.counts[chosen])


@dataclass(frozen=True)
class MorphologySets:
    """One comparison.

    Attributes
    ----------
    real, generated
        Held-out real fields, and generated fields of one pair of seeds, of the same conditions.
    training
        Real fields of other wells, for classification; None if there are none.
    top
        Positions of the PCA-selected features, see
        `morphpipe.evaluation.morphology.correlation.top_features`.
    centred_on_controls
        Whether profiles are centred on the negative control, which then has no profile.
    columns
        Columns of the metric table shared by all rows.
    """

    real: Side
    generated: Side
    training: Side | None
    top: npt.NDArray[np.intp]
    centred_on_controls: bool
    columns: Mapping[str, Any]
    settings: MorphologySettings

    def row(self, metric: str, value: float | None, **columns: Any) -> dict[str, Any]:
        """Make one row of the metric table."""
        return metric_row(**{**self.columns, "metric": metric, "value": value, **columns})

    def of_cell_type(self, name: str) -> "MorphologySets":
        """Only the fields of one cell type."""

        def chosen(side: Side) -> Side:
            return side.select(side.images.column("cell_type") == name)

        training = None if self.training is None else chosen(self.training)
        return replace(
            self, real=chosen(self.real), generated=chosen(self.generated), training=training
        )

    def matched_for_cell_count(self) -> "MorphologySets":
        """Draw equally many real and generated fields of each condition and cell count.

        Training fields are matched to the generated fields in the same way.
        """

        def match(side: Side) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
            return match_sets(
                side.images,
                self.generated.images,
                counts=(side.counts, self.generated.counts),
                bins=self.settings.count_bins,
                seed=self.settings.seed,
            )

        real, generated = match(self.real)
        training = None
        if self.training is not None:
            training = self.training.select(match(self.training)[0])
        return replace(
            self,
            real=self.real.select(real),
            generated=self.generated.select(generated),
            training=training,
            columns={**self.columns, "view": f"{self.columns['view']}{MATCHED}"},
        )


def side(prepared: Prepared, fitted: FittedRecipe, mechanisms: Mapping[str, str]) -> Side:
    """Turn prepared real or generated profiles into feature sets.

    Parameters
    ----------
    prepared
        Real or generated fields.
    fitted
        The recipe that prepared them.
    mechanisms
        Mechanism of each perturbation, from real fields: generated fields have none.
    """
    keys = prepared.keys.assign(
        moa=[mechanisms.get(name) for name in prepared.keys["perturbation"].astype(str)]
    )
    keys["moa"] = keys["moa"].astype(object)
    view = fitted.recipe.name
    images = FeatureSet(keys, prepared.values.astype(np.float32), EXTRACTOR, view)
    points = images
    if fitted.recipe.components is not None:
        points = FeatureSet(keys, prepared.scores.astype(np.float32), EXTRACTOR, view)
    return Side(images, points, prepared.counts)


def mechanisms_of(*profiles: pd.DataFrame) -> dict[str, str]:
    """Mechanism of each perturbation in real profiles; "a / b" if there are two."""
    named: dict[str, set[str]] = {}
    for table in profiles:
        pairs = table[["Metadata_perturbation", "Metadata_moa"]].dropna().drop_duplicates()
        for perturbation, mechanism in pairs.itertuples(index=False):
            if mechanism:
                named.setdefault(str(perturbation), set()).add(str(mechanism))
    return {name: " / ".join(sorted(found)) for name, found in named.items()}


def shared_conditions(left: Side, right: Side, generated: FeatureSet) -> tuple[Side, Side]:
    """Restrict both sides to the conditions they share."""
    names = condition_labels([left.images, right.images], generated)
    return (
        left.select(np.isin(names[0], list(set(names[1])))),
        right.select(np.isin(names[1], list(set(names[0])))),
    )
