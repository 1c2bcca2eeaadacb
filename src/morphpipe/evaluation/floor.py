"""The floor of a distance and the controls that stand beside it, all at the same numbers of images.

The floor is the distance between two halves of the real fields, split by well, averaged over
random halvings. Anything else (generated images, training images, generated images of other
conditions) is measured against the same halves with as many images, so that the finite-sample
bias of a Fréchet distance is the same in all of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.evaluation.distance_measures import DistanceMeasure
from morphpipe.evaluation.feature_set import FeatureSet
from morphpipe.evaluation.splits import halves
from morphpipe.evaluation.statistics import Linearised

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Halving:
    """Positions of real fields in two halves of equal size that share no well."""

    first: Indices
    second: Indices


def halvings(real: FeatureSet, *, repeats: int, at_most: int, seed: int) -> list[Halving]:
    """Draw random halvings of the real fields.

    Conditions of a single well go to either side as a whole; halves of unequal size, and halves
    larger than `at_most`, are thinned at random.

    Raises
    ------
    DataError
        If all fields are from one well.
    """
    result = []
    for repeat in range(repeats):
        generator = np.random.default_rng([seed, repeat])
        first = halves(real.keys, int(generator.integers(2**31)), too_few="pool")
        sides = [generator.permutation(np.flatnonzero(side)) for side in (first, ~first)]
        size = min(len(sides[0]), len(sides[1]), at_most)
        result.append(Halving(sides[0][:size], sides[1][:size]))
    # Wells of unequal size make halves of unequal size: every halving gets the smallest.
    size = min(len(halving.first) for halving in result)
    return [Halving(halving.first[:size], halving.second[:size]) for halving in result]


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


def measure_floor(
    measure: DistanceMeasure, real: FeatureSet, drawn: list[Halving]
) -> tuple[Linearised, dict[str, Any]]:
    """Mean distance between the halves; the contributions of the real fields stand on the left."""
    total = np.zeros(len(real))
    values: list[float] = []
    notes: dict[str, Any] = {}
    for halving in drawn:
        result, notes = measure.measure(real.features[halving.first], real.features[halving.second])
        values.append(result.value)
        total[halving.first] += result.left
        total[halving.second] += result.right
    return Linearised(float(np.mean(values)), total / len(drawn), np.zeros(0)), notes | {
        "standard_deviation_over_halvings": float(np.std(values))
    }


def measure_against_halves(
    measure: DistanceMeasure,
    candidates: FeatureSet,
    real: FeatureSet,
    drawn: list[Halving],
    *,
    match: str | None,
    seed: int,
) -> tuple[Linearised, dict[str, Any]]:
    """Mean distance between equally many drawn candidates and each half of the real fields.

    Parameters
    ----------
    measure
        The distance.
    candidates
        Images to draw from, at least as many as in a half.
    real, drawn
        The real fields and their halvings.
    match
        ``condition`` (cell type and perturbation), a key column, or None: by what the draws
        follow the mix of the half.
    seed
        Seed of the draws.

    Returns
    -------
    tuple
        The distance with contributions (left: candidates, right: real), and what is to be known.
    """
    generator = np.random.default_rng(seed)
    pool, target = _conditions(candidates, match), _conditions(real, match)
    left, right = np.zeros(len(candidates)), np.zeros(len(real))
    values: list[float] = []
    shares: list[float] = []
    notes: dict[str, Any] = {}
    for halving in drawn:
        for half in (halving.first, halving.second):
            chosen, share = draw_matched(pool, target[half], generator)
            result, notes = measure.measure(candidates.features[chosen], real.features[half])
            values.append(result.value)
            shares.append(share)
            left[chosen] += result.left
            right[half] += result.right
    number = len(values)
    return Linearised(float(np.mean(values)), left / number, right / number), notes | {
        "share_matched": round(float(np.mean(shares)), 4)
    }


def _conditions(images: FeatureSet, match: str | None) -> npt.NDArray[Any]:
    """Name the condition of each image by which a mix is told."""
    if match is None:
        return np.full(len(images), "", dtype=object)
    if match == "condition":
        pairs = zip(images.column("cell_type"), images.column("perturbation"), strict=True)
        return np.array([f"{cell_type}\x1f{perturbation}" for cell_type, perturbation in pairs])
    return images.column(match)


def relative(distance: Linearised, floor: Linearised) -> Linearised:
    """Distance divided by the floor; real fields that are in both are accounted for once."""
    ratio = distance.value / floor.value
    return Linearised(
        ratio, distance.left / floor.value, (distance.right - ratio * floor.left) / floor.value
    )
