"""Nearest training images and thresholds for memorisation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked_pair

Indices = npt.NDArray[np.intp]

# Carlini et al. (2023), section 4.2, use the 50 nearest training images.
OTHERS = 50


def nearest(images: npt.ArrayLike, training: npt.ArrayLike) -> tuple[Array, Array, Indices]:
    """Find the nearest training image of each image, with its distance and nearness.

    Nearness is the distance divided by the mean distance to the next `OTHERS` training images
    (Carlini et al., 2023, use this ratio to find copies in diffusion models).

    Parameters
    ----------
    images, training
        [n, d] and [m, d] with m >= 2; brute-force search in blocks.

    Returns
    -------
    distances, nearness : numpy.ndarray
        float64 [n]: Euclidean distances, and nearness from 0 (a copy) to 1.
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
    # The search squares and subtracts, which leaves a rounding error for copies.
    exact = np.sqrt(((left - right[positions[:, 0]]) ** 2).sum(axis=1))
    others = distances[:, 1:].mean(axis=1)
    nearness = np.divide(exact, others, out=np.ones(len(exact)), where=others > 0)
    return exact, np.minimum(nearness, 1.0), positions[:, 0].astype(np.intp)


def probability_nearer(distances: npt.ArrayLike, held_out: npt.ArrayLike) -> float:
    """Estimate the probability that a distance is below a held-out one, ties counted half.

    The Mann-Whitney statistic that Meehan et al. (2020) use to detect data copying: 0.5 for equal
    distributions, 1 if all generated images are nearer.
    """
    left, right = np.asarray(distances, float), np.asarray(held_out, float)
    ranks = rankdata(np.concatenate([left, right]))[: len(left)]
    above = ranks.sum() - len(left) * (len(left) + 1) / 2
    return float(1 - above / (len(left) * len(right)))


@dataclass(frozen=True)
class Threshold:
    """Nearness below which an image counts as memorised.

    Attributes
    ----------
    value
        Nearness of one of the held-out images.
    expected
        Expected fraction of new images of the same distribution below it.
    """

    value: float
    expected: float


def memorised_below(held_out: npt.ArrayLike, percentile: float) -> Threshold:
    """Set the threshold at a percentile of the held-out nearness.

    For n held-out images it is the k-th smallest, k = max(1, floor(n percentile / 100)), and k / (n
    + 1) of new images are expected below it: more than the percentile if n is small.
    """
    values = np.sort(np.asarray(held_out, float))
    place = max(1, int(len(values) * percentile / 100))
    return Threshold(float(values[place - 1]), place / (len(values) + 1))
