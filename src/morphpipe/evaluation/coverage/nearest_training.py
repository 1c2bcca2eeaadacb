"""Nearest training images, and how near is suspicious."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked_pair

Indices = npt.NDArray[np.intp]

# Carlini et al. (2023), section 4.2, take the 50 nearest training images.
OTHERS = 50


def nearest(images: npt.ArrayLike, training: npt.ArrayLike) -> tuple[Array, Array, Indices]:
    """Distance, nearness and position of the nearest training image of each image.

    Nearness compares the distance with the mean distance to the next `OTHERS` training images
    (Carlini et al., 2023, who look for copies in diffusion models by this ratio).

    Parameters
    ----------
    images, training
        [n, d] and [m, d], two training images at least; the search is by brute force, block by
        block.

    Returns
    -------
    distances, nearness : numpy.ndarray
        float64 [n], Euclidean distances, and their ratio to those of the others: 0 for a copy, at
        most 1.
    positions : numpy.ndarray
        intp [n].

    Raises
    ------
    DataError
        If a value is not finite, a set is too small, or the columns differ.
    """
    left, right = checked_pair(images, training, names=("generated", "training"))
    if len(right) < 2:
        raise DataError("memorisation needs at least two training images")
    number = min(OTHERS + 1, len(right))
    search = NearestNeighbors(n_neighbors=number, algorithm="brute").fit(right)
    distances, positions = search.kneighbors(left)
    # The search squares and subtracts, which leaves a rest where there is none.
    exact = np.sqrt(((left - right[positions[:, 0]]) ** 2).sum(axis=1))
    others = distances[:, 1:].mean(axis=1)
    nearness = np.divide(exact, others, out=np.ones(len(exact)), where=others > 0)
    return exact, np.minimum(nearness, 1.0), positions[:, 0].astype(np.intp)


def probability_nearer(distances: npt.ArrayLike, held_out: npt.ArrayLike) -> float:
    """Probability that a distance is below one of held-out images, ties counted half.

    The Mann-Whitney statistic by which Meehan et al. (2020) tell data copying: 0.5 where both
    are distributed alike, 1 where all generated images are nearer.
    """
    left, right = np.asarray(distances, float), np.asarray(held_out, float)
    ranks = rankdata(np.concatenate([left, right]))[: len(left)]
    above = ranks.sum() - len(left) * (len(left) + 1) / 2
    return float(1 - above / (len(left) * len(right)))


@dataclass(frozen=True)
class Threshold:
    """Below what nearness an image counts as memorised.

    Attributes
    ----------
    value
        A nearness that a held-out image has.
    expected
        Share of new images of the same distribution to be expected below it.
    """

    value: float
    expected: float


def memorised_below(held_out: npt.ArrayLike, percentile: float) -> Threshold:
    """Threshold at a percentile of the held-out images' nearness.

    Of n held-out images it is the k-th smallest, k = max(1, floor(n percentile / 100)); below it
    k / (n + 1) of new images are to be expected, more than the percentile where held-out images
    are few.
    """
    values = np.sort(np.asarray(held_out, float))
    place = max(1, int(len(values) * percentile / 100))
    return Threshold(float(values[place - 1]), place / (len(values) + 1))
