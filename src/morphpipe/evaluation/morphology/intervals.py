"""Split halves of real fields for morphology, and intervals of averages over them."""

from collections.abc import Sequence
from typing import Any

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.floor import Averaged, SplitHalf, from_several_wells, split_halves
from morphpipe.evaluation.core.statistics import LEVEL, InfluenceValues, influence_interval
from morphpipe.evaluation.morphology.sets import MorphologySets

Part = tuple[float, Averaged, FeatureSet | None, FeatureSet]
"""A weight, the measure, and the fields on its left (None if real) and right."""


def drawn_split_halves(sets: MorphologySets) -> list[SplitHalf]:
    """Split halves of the real fields, no larger than the generated set.

    Raises
    ------
    DataError
        If all real fields are from one well.
    """
    return split_halves(
        sets.real.images,
        repeats=sets.settings.floor_repeats,
        at_most=len(sets.generated),
        seed=sets.settings.seed,
    )


def interval_columns(
    sets: MorphologySets,
    parts: Sequence[Part],
    notes: dict[str, Any],
    limits: tuple[float, float],
) -> dict[str, float]:
    """Linearised interval of a weighted sum of measures on disjoint fields.

    Parameters
    ----------
    parts
        Terms of the sum.
    notes
        Settings of the row, updated with the method of the interval or the reason for none.
    limits
        Range of the measure.

    Returns
    -------
    dict
        Columns of the metric table; empty if a set comes from a single well.
    """
    if not all(from_several_wells(left, real) for _, _, left, real in parts):
        notes["interval"] = "none: a set is from a single well"
        return {}
    contributions = []
    for weight, result, left, real in parts:
        contributions.append(InfluenceValues(weight * result.right, real.groups, real.conditions))
        if left is not None:
            contributions.append(
                InfluenceValues(weight * result.left, left.groups, left.conditions)
            )
    low, high = influence_interval(
        sum(weight * result.value for weight, result, _, _ in parts),
        contributions,
        draw_variance=sum(weight**2 * result.draw_variance for weight, result, _, _ in parts),
    )
    notes |= {
        "interval": "linearised, wells within conditions as units",
        "level": LEVEL,
    }
    return {"ci_low": max(low, limits[0]), "ci_high": min(high, limits[1])}
