"""The floor of a distance and its controls, all at the same numbers of images.

The floor is the distance between two halves of the real fields, split by well, averaged over random
split halves. Every other set (generated, training, other conditions) is measured against the same
halves with the same number of images, so the finite-sample bias of a Fréchet distance is the same
in all of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy  # its parts load when used

from morphpipe.datasets.splits.assign import halves
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.statistics import (
    Array,
    InfluenceValues,
    Interval,
    Statistic,
    influence_interval,
)
from morphpipe.evaluation.distances.measures import DistanceMeasure

Indices = npt.NDArray[np.intp]
# The upper limit of a ratio is searched up to 2^10 times the ratio.
_DOUBLINGS = 10


@dataclass(frozen=True)
class SplitHalf:
    """Positions of real fields in two halves of equal size with no well in common."""

    first: Indices
    second: Indices


def split_halves(real: FeatureSet, *, repeats: int, at_most: int, seed: int) -> list[SplitHalf]:
    """Draw random split halves of the real fields.

    A condition with a single well goes to one side as a whole; halves are thinned at random to
    equal size and to `at_most`.

    Raises
    ------
    DataError
        If all fields are from one well.
    """
    generators = [np.random.default_rng([seed, repeat]) for repeat in range(repeats)]
    seeds = [int(generator.integers(2**31)) for generator in generators]
    result = []
    for generator, first in zip(generators, halves(real.keys, seeds, too_few="pool"), strict=True):
        sides = [generator.permutation(np.flatnonzero(side)) for side in (first, ~first)]
        size = min(len(sides[0]), len(sides[1]), at_most)
        result.append(SplitHalf(sides[0][:size], sides[1][:size]))
    # Wells differ in size, and so do halves: all are cut to the smallest.
    size = min(len(split_half.first) for split_half in result)
    return [SplitHalf(split_half.first[:size], split_half.second[:size]) for split_half in result]


def draw_split_halves(
    real: FeatureSet, *, repeats: int, at_most: int, minimum: int, seed: int
) -> tuple[list[SplitHalf], str]:
    """Draw split halves as `split_halves` does, or return none with the reason."""
    if len(np.unique(real.groups)) < 2:
        return [], "the real fields come from fewer than two wells"
    wells = pd.Series(real.groups).groupby(real.conditions).nunique()
    if wells.max() < 2:
        return [], (
            "each condition has a single well, so that halves would differ in their conditions: "
            "set `evaluation.units: site` for halves of other sites of the same wells"
        )
    drawn = split_halves(real, repeats=repeats, at_most=at_most, seed=seed)
    size = len(drawn[0].first)
    if size < minimum:
        return [], f"halves of {size} images, fewer than the minimum of {minimum}"
    return drawn, ""


def draw_matched(
    pool: npt.NDArray[Any], target: npt.NDArray[Any], generator: np.random.Generator
) -> tuple[Indices, float]:
    """Draw as many images as the target has from a pool, with the target's mix of conditions.

    Parameters
    ----------
    pool, target
        The condition of each image; the pool has at least as many as the target.
    generator
        Random generator; draws are without replacement.

    Returns
    -------
    tuple
        Positions in the pool and the fraction that match; where the pool lacks images of a
        condition, others fill in.
    """
    order = generator.permutation(len(pool))
    conditions = pd.Series(pool[order])
    rank = conditions.groupby(conditions).cumcount()
    quota = conditions.map(pd.Series(target).value_counts()).fillna(0)
    matching = (rank < quota).to_numpy()
    chosen = np.concatenate([order[matching], order[~matching]])[: len(target)]
    return chosen.astype(np.intp), float(min(matching.sum(), len(target)) / len(target))


@dataclass(frozen=True)
class Averaged:
    """A distance averaged over split halves, as `morphpipe.evaluation.core.statistics.Statistic`.

    Attributes
    ----------
    values
        float64 [R]: the distance in each split half.
    left, right
        float64 [R, n] and [R, m]: contributions of all candidates and of all real fields; 0 for
        images that were not drawn.
    """

    values: Array
    left: Array
    right: Array

    @property
    def value(self) -> float:
        """Mean over the split halves."""
        return float(self.values.mean())

    @property
    def draw_variance(self) -> float:
        """Variance of the mean due to the finite number of split halves."""
        number = len(self.values)
        return float(self.values.var(ddof=1)) / number if number > 1 else 0.0


def from_several_wells(*sets: FeatureSet | None) -> bool:
    """Whether every set spans at least two wells, as intervals require; None is skipped."""
    return all(images is None or len(np.unique(images.groups)) >= 2 for images in sets)


def interval_between_wells(
    result: Statistic | Averaged, left: FeatureSet | None, real: FeatureSet
) -> Interval:
    """Compute the linearised interval of a measure or of a difference of measures.

    Wells within a condition are the source of uncertainty; the mix of conditions is fixed.

    Parameters
    ----------
    result
        The measure; its left contributions belong to `left`, its right ones to `real`.
    left
        None if real fields are on both sides.

    Raises
    ------
    DataError
        If a set comes from a single well, see `from_several_wells`.
    """
    contributions = [InfluenceValues(result.right, real.groups, real.conditions)]
    if left is not None:
        contributions.append(InfluenceValues(result.left, left.groups, left.conditions))
    return influence_interval(
        result.value,
        contributions,
        draw_variance=result.draw_variance if isinstance(result, Averaged) else 0.0,
    )


def measure_floor(
    measure: DistanceMeasure, real: FeatureSet, drawn: list[SplitHalf]
) -> tuple[Averaged, dict[str, Any]]:
    """Measure the distance between the halves, with all contributions on the right."""
    notes: dict[str, Any] = {}
    values = np.empty(len(drawn))
    right = np.zeros((len(drawn), len(real)))
    for repeat, split_half in enumerate(drawn):
        first, second = split_half.first, split_half.second
        result, notes = measure.measure(
            real.features[first],
            real.features[second],
            (real.conditions[first], real.conditions[second]),
        )
        values[repeat] = result.value
        right[repeat, split_half.first] = result.left
        right[repeat, split_half.second] = result.right
    floor = Averaged(values, np.zeros((len(drawn), 0)), right)
    return floor, notes | {"standard_deviation_over_split_halves": float(values.std())}


def measure_against_halves(
    measure: DistanceMeasure,
    candidates: FeatureSet,
    real: FeatureSet,
    drawn: list[SplitHalf],
    *,
    match: str | None,
    seed: int,
) -> tuple[Averaged, dict[str, Any]]:
    """Measure an equal number of drawn candidates against each half of the real fields.

    Parameters
    ----------
    candidates
        Images to draw from, at least as many as in a half.
    real, drawn
        The real fields and their split halves.
    match
        Column whose mix the draws follow: ``condition`` (cell type and perturbation), a key column,
        or None.

    Returns
    -------
    tuple
        The distance, averaged over both halves, and notes for the settings.
    """
    generator = np.random.default_rng(seed)
    pool, target = conditions_by(candidates, match), conditions_by(real, match)
    notes: dict[str, Any] = {}
    values = np.zeros(len(drawn))
    left, right = np.zeros((len(drawn), len(candidates))), np.zeros((len(drawn), len(real)))
    shares: list[float] = []
    for repeat, split_half in enumerate(drawn):
        for half in (split_half.first, split_half.second):
            chosen, share = draw_matched(pool, target[half], generator)
            result, notes = measure.measure(
                candidates.features[chosen],
                real.features[half],
                (candidates.conditions[chosen], real.conditions[half]),
            )
            values[repeat] += result.value / 2
            left[repeat, chosen] += result.left / 2
            right[repeat, half] += result.right / 2
            shares.append(share)
    matched = round(float(np.mean(shares)), 4)
    return Averaged(values, left, right), notes | {"share_matched": matched}


def conditions_by(images: FeatureSet, match: str | None) -> npt.NDArray[Any]:
    """Label each image by the condition to match."""
    if match is None:
        return np.full(len(images), "", dtype=object)
    if match == "condition":
        return images.conditions
    return images.column(match)


@dataclass(frozen=True)
class Ratio:
    """A distance as a multiple of the floor, from the same split halves.

    The value is the ratio of the means; their shared variation is accounted for.

    Attributes
    ----------
    distance, floor
        The floor must be positive.
    """

    distance: Averaged
    floor: Averaged

    @property
    def value(self) -> float:
        """Ratio of the means."""
        return self.distance.value / self.floor.value

    def beyond(self, multiple: float) -> Averaged:
        """The distance minus a multiple of the floor."""
        return Averaged(
            self.distance.values - multiple * self.floor.values,
            self.distance.left,
            self.distance.right - multiple * self.floor.right,
        )

    def interval(self, of_difference: Callable[[Averaged], Interval]) -> Interval:
        """Multiples of the floor that are compatible with the distance (Fieller 1954).

        In a symmetric interval the uncertainty of the floor, scaled by the ratio, could hide that a
        distance is clearly above the floor.

        Parameters
        ----------
        of_difference
            Computes the interval of a difference from `beyond`.

        Returns
        -------
        Interval
            Non-negative; the upper limit is infinite if the floor is indistinguishable from 0.
        """

        def untold(multiple: float) -> float:
            """Negative while the interval of the difference contains 0."""
            low, high = of_difference(self.beyond(multiple))
            return max(low, -high)

        value = self.value
        if untold(value) == 0:  # nothing varies
            return Interval(value, value)
        low = 0.0 if untold(0.0) < 0 else float(scipy.optimize.brentq(untold, 0.0, value))
        farthest = value
        for _ in range(_DOUBLINGS):
            farthest *= 2
            if untold(farthest) > 0:
                return Interval(low, float(scipy.optimize.brentq(untold, value, farthest)))
        return Interval(low, math.inf)
