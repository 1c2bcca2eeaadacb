"""Fréchet distance between two sets of features.

On Inception features this is the FID. With d columns, and X and Y the centred features,

    tr sqrt(S1 S2) = || X Y^T ||_* / sqrt((n - 1) (m - 1)),

so the singular values of an n by m matrix replace the square root of a d by d one: exact, and
faster with fewer images than columns. With more images than columns, X and Y are first replaced by
the triangular factors of their QR decompositions, which have the same singular values. The factors
are updated in blocks of rows, so that only a block is copied to float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.evaluation.core.feature_arrays import Array, check_pair
from morphpipe.evaluation.core.statistics import Statistic

# Rows in float64 at a time: 270 MB for Inception features and their decomposition.
_BLOCK = 8192


def _centred_blocks(features: npt.NDArray[Any], mean: Array) -> Iterator[Array]:
    """Centred rows of features [n, d] in float64, a block at a time."""
    for start in range(0, len(features), _BLOCK):
        yield features[start : start + _BLOCK].astype(np.float64) - mean


@dataclass(frozen=True)
class Factored:
    """Count, mean and factor of one set of features [n, d], sufficient for the distance.

    Attributes
    ----------
    count
        Number of images n.
    mean
        float64 [d].
    factor
        float64 [k, d] with R^T R = X^T X for the centred features X; k = min(n, d).
    """

    count: int
    mean: Array
    factor: Array

    @classmethod
    def of(cls, features: npt.NDArray[Any]) -> "Factored":
        """Factorise features [n, d] of any numeric type."""
        columns = features.shape[1]
        mean = features.mean(axis=0, dtype=np.float64)
        factor = np.empty((0, columns))
        for block in _centred_blocks(features, mean):
            factor = np.concatenate([factor, block]) if len(factor) else block
            if len(factor) > columns:
                factor = np.asarray(np.linalg.qr(factor, mode="r"), dtype=np.float64)
        return cls(len(features), mean, factor)


def _distance(left: Factored, right: Factored, singular: npt.NDArray[np.floating[Any]]) -> float:
    n, m = left.count, right.count
    difference = left.mean - right.mean
    trace = sum(float(np.vdot(of.factor, of.factor)) / (of.count - 1) for of in (left, right))
    covariance_term = trace - 2 * float(singular.sum()) / ((n - 1) * (m - 1)) ** 0.5
    # The term is a squared distance between covariances; below rounding error it is set to 0, so
    # that identical sets give exactly 0 and never -1e-13.
    rounding = 8 * np.finfo(np.float64).eps * max(n, m) * trace
    if covariance_term <= rounding:
        covariance_term = 0.0
    return float(difference @ difference) + covariance_term


def factored_distance(left: Factored, right: Factored) -> float:
    """Compute the Fréchet distance of two factorised sets of at least two images each."""
    return _distance(left, right, np.linalg.svd(left.factor @ right.factor.T, compute_uv=False))


def frechet_distance(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Compute the Fréchet distance of Gaussians fitted to two sets of features.

    |m1 - m2|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)), covariances with n - 1 (Heusel et al., 2017).

    Parameters
    ----------
    x, y
        [n, d] and [m, d], at least two rows each; computed in float64.

    Returns
    -------
    float
        At least 0; exactly 0 for identical sets. Biased upward by about 1/n + 1/m: compare only
        values at the same numbers of images.

    Raises
    ------
    DataError
        If a value is not finite, a set has fewer than two rows, or the columns differ.
    """
    left, right = check_pair(x, y, minimum=2)
    return factored_distance(Factored.of(left), Factored.of(right))


def linearised_frechet_distance(x: npt.ArrayLike, y: npt.ArrayLike) -> Statistic:
    """Compute the Fréchet distance with the influence value of each image.

    The derivative of the nuclear norm of M = X Y^T with respect to the weight of row i is half
    the i-th diagonal element of (M M^T)^(1/2); shifting the mean does not matter to first order,
    since the singular vectors of a centred matrix are orthogonal to the constant one. With
    M = U S V^T the columns of U are X Y^T V / S: one decomposition of the factors gives the
    influence values of all images.

    Parameters
    ----------
    x, y
        [n, d] and [m, d] as in `frechet_distance`.
    """
    images = check_pair(x, y, minimum=2)
    left, right = map(Factored.of, images)
    u, singular, vt = np.linalg.svd(left.factor @ right.factor.T, full_matrices=False)
    degrees = ((left.count - 1) * (right.count - 1)) ** 0.5
    # Directions missing from one of the sets would be rounding error divided by rounding error.
    kept = singular > np.finfo(np.float64).eps * max(u.shape[0], vt.shape[1]) * singular.max()
    u, scale, v = u[:, kept], np.sqrt(singular[kept]), vt[kept].T

    def influence(features: npt.NDArray[Any], own: Factored, other: Factored, of: Array) -> Array:
        directions, difference = other.factor.T @ of / scale, own.mean - other.mean
        slopes = []
        for rows in _centred_blocks(features, own.mean):
            overlap = np.square(rows @ directions).sum(axis=1) / degrees
            spread = np.einsum("ij,ij->i", rows, rows)
            slopes.append(
                2 * rows @ difference + own.count / (own.count - 1) * spread - own.count * overlap
            )
        slope = np.concatenate(slopes)
        return (slope - slope.mean()) / own.count

    return Statistic(
        _distance(left, right, singular),
        influence(images[0], left, right, v),
        influence(images[1], right, left, u),
    )
