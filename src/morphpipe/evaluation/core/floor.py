"""The floor of a distance and the controls that stand beside it, all at the same numbers of images.

The floor is the distance between two halves of the real fields, split by well, averaged over
random split halves. Anything else (generated images, training images, generated images of other
conditions) is measured against the same halves with as many images, so that the finite-sample
bias of a Fréchet distance is the same in all of them.
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
# The upper end of a ratio's interval is looked for up to 2^10 times the ratio.
_DOUBLINGS = 10


@dataclass(frozen=True)
class SplitHalf:
    """Positions of real fields in two halves of equal size that share no well."""

    first: Indices
    second: Indices


def split_halves(real: FeatureSet, *, repeats: int, at_most: int, seed: int) -> list[SplitHalf]:
    """Draw random split halves of the real fields.

    Conditions of a single well go to either side as a whole; halves of unequal size, and halves
    larger than `at_most`, are thinned at random.

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
    # Wells of unequal size make halves of unequal size: every split half gets the smallest.
    size = min(len(split_half.first) for split_half in result)
    return [SplitHalf(split_half.first[:size], split_half.second[:size]) for split_half in result]


def draw_split_halves(
    real: FeatureSet, *, repeats: int, at_most: int, minimum: int, seed: int
) -> tuple[list[SplitHalf], str]:
    """Draw split halves as `split_halves` does, or give none and the reason why there are none."""
    if len(np.unique(real.groups)) < 2:
        return [], "the real fields come from fewer than two wells"
    drawn = split_halves(real, repeats=repeats, at_most=at_most, seed=seed)
    size = len(drawn[0].first)
    if size < minimum:
        return [], f"halves of {size} images, fewer than the minimum of {minimum}"
    return drawn, ""


def draw_matched(
    pool: npt.NDArray[Any], target: npt.NDArray[Any], generator: np.random.Generator
) -> tuple[Indices, float]:
    """Draw as many images from a pool as the target has, with the target's mix of conditions.

    Parameters
    ----------
    pool, target
        The condition of each image; the pool has at least as many as the target.
    generator
        Source of the draws, without replacement.

    Returns
    -------
    tuple
        Positions in the pool, and the share of them that match; where the pool has too few of a
        condition, others fill up.
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
        """The mean over the split halves."""
        return float(self.values.mean())

    @property
    def draw_variance(self) -> float:
        """Variance of the mean that comes from the finite number of split halves."""
        number = len(self.values)
        return float(self.values.var(ddof=1)) / number if number > 1 else 0.0


def from_several_wells(*sets: FeatureSet | None) -> bool:
    """Whether every set is from two wells at least (None is no set), as an interval needs it."""
    return all(images is None or len(np.unique(images.groups)) >= 2 for images in sets)


def interval_between_wells(
    result: Statistic | Averaged, left: FeatureSet | None, real: FeatureSet
) -> Interval:
    """Linearised interval of a measure, or of a difference of measures.

    Uncertainty lies between wells of a condition; the mix of conditions was chosen.

    Parameters
    ----------
    result
        As measured: its contributions on the right are those of `real`, on the left of `left`.
    left
        None where real fields are on both sides.
    real
        The real fields.

    Raises
    ------
    DataError
        If a set is from a single well, see `from_several_wells`.
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
    """Measure the distance between the halves; the real fields' contributions are on the right."""
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
    """Measure equally many drawn candidates against each half of the real fields.

    Parameters
    ----------
    measure
        The distance.
    candidates
        Images to draw from, at least as many as in a half.
    real, drawn
        The real fields and their split halves.
    match
        ``condition`` (cell type and perturbation), a key column, or None: by what the draws
        follow the mix of the half.
    seed
        Seed of the draws.

    Returns
    -------
    tuple
        The distance, both halves of a split half averaged, and what is to be known.
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
    """Name the condition of each image by which a mix is told."""
    if match is None:
        return np.full(len(images), "", dtype=object)
    if match == "condition":
        return images.conditions
    return images.column(match)


@dataclass(frozen=True)
class Ratio:
    """A distance as a multiple of the floor; both come from the same split halves.

    The value is the ratio of the means. Real fields and split halves move both, and are accounted
    for together.

    Attributes
    ----------
    distance, floor
        As measured; the floor is above 0.
    """

    distance: Averaged
    floor: Averaged

    @property
    def value(self) -> float:
        """The ratio."""
        return self.distance.value / self.floor.value

    def beyond(self, multiple: float) -> Averaged:
        """The distance less a multiple of the floor."""
        return Averaged(
            self.distance.values - multiple * self.floor.values,
            self.distance.left,
            self.distance.right - multiple * self.floor.right,
        )

    def interval(self, of_difference: Callable[[Averaged], Interval]) -> Interval:
        """All multiples of the floor that the distance cannot be told from (Fieller 1954).

        A symmetric interval around the ratio would let the uncertainty of the floor, taken as
        many times as the distance is large, hide that a distance lies clearly above it.

        Parameters
        ----------
        of_difference
            Gives the interval of a difference from `beyond`.

        Returns
        -------
        Interval
            Around the ratio, from 0 on; its upper end is infinite where the floor cannot be told
            from 0.
        """

        def untold(multiple: float) -> float:
            """Negative while 0 lies inside the interval of the difference."""
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
