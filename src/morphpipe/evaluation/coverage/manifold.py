"""Precision, recall, density and coverage of generated images.

A set's manifold is the union of balls around its images, each reaching to the image's k-th nearest
neighbour in the same set. All four depend on the numbers of images: compare values at the same
numbers only.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked_pair
from morphpipe.evaluation.core.statistics import Statistic

MANIFOLD_METRICS = ("precision", "recall", "density", "coverage")


def neighbour_radii(features: npt.ArrayLike, k: int) -> Array:
    """Distance of each image to its k-th nearest neighbour in the same set: float64 [n].

    Raises
    ------
    DataError
        If there are no more than k images.
    """
    images = np.asarray(features)
    if not 1 <= k < len(images):
        raise DataError(
            f"the neighbour number {k} of an image needs more than {k} images, but there are "
            f"{len(images)}"
        )
    found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(images)
    # Called without queries, an image is not its own neighbour; its copies are.
    distances, _ = found.kneighbors()
    radii: Array = distances[:, -1].astype(np.float64)
    return radii


def manifold_scores(
    generated: npt.ArrayLike, real: npt.ArrayLike, k: int = 5
) -> dict[str, Statistic]:
    """Precision, recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    Precision is the fraction of generated images inside the real manifold, recall the fraction of
    real images inside the generated one. Density is the number of real balls that contain a
    generated image, divided by k; coverage is the fraction of real balls that contain a generated
    image. The latter two use real balls only and are less sensitive to outliers.

    Parameters
    ----------
    generated, real
        [n, d] and [m, d], more than k rows each. Distances are computed block by block.
    k
        The balls reach to the k-th neighbour.

    Returns
    -------
    dict
        Keys are `MANIFOLD_METRICS`; precision, recall and coverage lie in [0, 1], density is at
        least 0 and about 1 for two samples of one distribution. Each is a mean over one set, whose
        images have the contributions; the other set is taken as fixed.

    Raises
    ------
    DataError
        If a value is not finite, the columns differ, or a set has no more than k images.
    """
    left, right = checked_pair(generated, real, names=("generated", "real"))
    of_left, of_right = neighbour_radii(left, k), neighbour_radii(right, k)
    balls, inside_any = np.empty(len(left)), np.zeros(len(right), dtype=bool)
    covered = np.zeros(len(right), dtype=bool)
    for rows, distances in _blocks(left, right):
        in_real = distances <= of_right
        balls[rows] = in_real.sum(axis=1)
        covered |= in_real.any(axis=0)
        inside_any |= (distances <= of_left[rows, None]).any(axis=0)
    none_left, none_right = np.zeros(len(left)), np.zeros(len(right))
    return {
        "precision": _mean(balls > 0, none_right, on_left=True),
        "recall": _mean(inside_any, none_left, on_left=False),
        "density": _mean(balls / k, none_right, on_left=True),
        "coverage": _mean(covered, none_left, on_left=False),
    }


def _mean(values: npt.NDArray, others: Array, *, on_left: bool) -> Statistic:
    """Mean over the images of one set; those of the other contribute nothing."""
    mean = float(values.mean())
    contributions = (values - mean) / len(values)
    return Statistic(mean, *((contributions, others) if on_left else (others, contributions)))


def _blocks(left: Array, right: Array) -> Iterator[tuple[slice, Array]]:
    """Distances of all pairs, in blocks of rows of `left` (scikit-learn's memory limit)."""
    start = 0
    for block in pairwise_distances_chunked(left, right, metric="euclidean"):
        yield slice(start, start + len(block)), block
        start += len(block)
