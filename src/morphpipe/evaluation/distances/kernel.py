"""Kernel distance (MMD with a cubic kernel) between two sets of features.

On Inception features this is the KID (Binkowski et al., 2018): k(a, b) = (a.b / d + 1)^3.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, check_pair
from morphpipe.evaluation.core.statistics import Statistic

# Rows and columns of a Gram matrix computed at a time, to bound memory.
_BLOCK = 4096


class KernelDistance(NamedTuple):
    """Mean and standard deviation of the squared MMD over random subsets."""

    mean: float
    std: float


def _kernel(x: Array, y: Array) -> Array:
    """KID's cubic kernel: [n, m]."""
    base = x @ y.T / x.shape[1] + 1
    # Several times faster than base**3, which uses a general power.
    return base * base * base


def _kernel_blocks(
    x: npt.NDArray[Any], y: npt.NDArray[Any]
) -> Iterator[tuple[slice, slice, Array]]:
    """Kernel of features [n, d] and [m, d] of any type in blocks: rows, columns, values."""
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        left = x[rows].astype(np.float64)
        for begin in range(0, len(y), _BLOCK):
            columns = slice(begin, begin + _BLOCK)
            yield rows, columns, _kernel(left, y[columns].astype(np.float64))


def mean_kernel(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[Array, Array]:
    """Compute each image's mean kernel with the other set: float64 [n] and [m]."""
    left, right = np.zeros(len(x)), np.zeros(len(y))
    for rows, columns, gram in _kernel_blocks(x, y):
        left[rows] += gram.sum(axis=1)
        right[columns] += gram.sum(axis=0)
    return left / len(y), right / len(x)


def own_mean_kernel(x: npt.NDArray[Any], conditions: npt.ArrayLike | None = None) -> Array:
    """Mean kernel of each image with the rest of its set, weighted as in `linearised_mmd`: [n].

    Raises
    ------
    DataError
        If the set has a single image of a condition.
    """
    labels = np.zeros(len(x)) if conditions is None else np.asarray(conditions)
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise DataError("the kernel distance within conditions needs two images of each")
    alike, others, itself = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    for rows, columns, gram in _kernel_blocks(x, x):
        if rows == columns:
            itself[rows] = np.diagonal(gram)
        of_own = (gram * (codes[rows, None] == codes[columns])).sum(axis=1)
        alike[rows] += of_own
        others[rows] += gram.sum(axis=1) - of_own
    partners = counts[codes]
    means: Array = (others + (alike - itself) * partners / (partners - 1)) / len(x)
    return means


def _mmd(xx: Array, yy: Array, xy: Array, size: int) -> Array:
    """Unbiased squared MMD from sums of kernels (within a set: without the diagonal)."""
    return (xx + yy) / (size * (size - 1)) - 2 * xy / size**2


def kernel_distance(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    subset_size: int = 100,
    subsets: int = 100,
    seed: int = 2020,
) -> KernelDistance:
    """Compute the kernel distance as torch-fidelity does: unbiased squared MMD over random subsets.

    The subsets are those of torch-fidelity for the same seed. One Gram matrix serves all of them
    (sums over a subset are products with its indicator vector), unless the sets are so large that a
    small matrix per subset is cheaper.

    Parameters
    ----------
    x, y
        [n, d] and [m, d]; computed in float64.
    subset_size
        Images drawn from each set without replacement, per subset. If both sets have exactly
        `subset_size` images, the standard deviation is 0.
    subsets
        Number of subsets.
    seed
        Seed of the draws; 2020 is torch-fidelity's default.

    Returns
    -------
    KernelDistance
        Mean (may be slightly negative) and standard deviation over the subsets.

    Raises
    ------
    DataError
        If a set has fewer than `subset_size` images, a value is not finite, or the columns differ.
    """
    left, right = check_pair(x, y, minimum=2)
    n, m = len(left), len(right)
    if subset_size < 2 or subsets < 1:
        raise DataError(
            f"the kernel distance needs subsets of at least 2 images and at least one subset, "
            f"not subset_size={subset_size} and subsets={subsets}"
        )
    if subset_size > min(n, m):
        raise DataError(
            f"the kernel distance needs subsets of {subset_size} images, but the sets have {n} and "
            f"{m}; lower subset_size or use unbiased_mmd over all images"
        )
    # torch-fidelity uses the legacy generator.
    random = np.random.RandomState(seed)
    draws = [
        (
            random.choice(n, subset_size, replace=False),
            random.choice(m, subset_size, replace=False),
        )
        for _ in range(subsets)
    ]
    if subset_size == n == m:
        return KernelDistance(unbiased_mmd(left, right), 0.0)
    if n * m > subsets * subset_size**2:
        values = np.array([unbiased_mmd(left[rows], right[columns]) for rows, columns in draws])
        return KernelDistance(float(values.mean()), float(values.std()))
    in_x, in_y = np.zeros((subsets, n)), np.zeros((subsets, m))
    for subset, (rows, columns) in enumerate(draws):
        in_x[subset, rows] = 1
        in_y[subset, columns] = 1
    of_x, of_y = left.astype(np.float64), right.astype(np.float64)
    gram_x, gram_y = _kernel(of_x, of_x), _kernel(of_y, of_y)
    np.fill_diagonal(gram_x, 0)
    np.fill_diagonal(gram_y, 0)
    values = _mmd(
        np.einsum("si,si->s", in_x @ gram_x, in_x),
        np.einsum("si,si->s", in_y @ gram_y, in_y),
        np.einsum("si,si->s", in_x @ _kernel(of_x, of_y), in_y),
        subset_size,
    )
    return KernelDistance(float(values.mean()), float(values.std()))


def linearised_mmd(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    conditions: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Statistic:
    """Compute the unbiased squared MMD over all images, with the influence value of each image.

    The sets may differ in size. The influence values are those of the U-statistic's
    first-order projection: twice the image's mean kernel to its own set minus that to the other.

    If the number of images per condition is fixed, an image has one partner fewer of its own
    condition in its own set than in the other set. With `conditions`, partners are weighted by
    their condition's share of the set, so that the expectation is 0 for two such samples of one
    distribution.

    Parameters
    ----------
    x, y
        [n, d] and [m, d], at least two rows each.
    conditions
        [n] and [m]: the condition of each image, with at least two images per condition in each
        set; None if the images are a random sample of all conditions.

    Raises
    ------
    DataError
        See `unbiased_mmd`; or if a set has a single image of a condition.
    """
    left, right = check_pair(x, y, minimum=2)
    of_left, of_right = conditions or (None, None)
    x_own, y_own = own_mean_kernel(left, of_left), own_mean_kernel(right, of_right)
    x_other, y_other = mean_kernel(left, right)
    value = float(x_own.mean() + y_own.mean() - 2 * x_other.mean())
    of_x, of_y = 2 * (x_own - x_other), 2 * (y_own - y_other)
    return Statistic(value, (of_x - of_x.mean()) / len(of_x), (of_y - of_y.mean()) / len(of_y))


def unbiased_mmd(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Compute the unbiased squared MMD with KID's kernel over all images of both sets.

    Parameters
    ----------
    x, y
        [n, d] and [m, d], at least two rows each; the sizes may differ.

    Raises
    ------
    DataError
        If a value is not finite, a set has fewer than two rows, or the columns differ.
    """
    return linearised_mmd(x, y).value
