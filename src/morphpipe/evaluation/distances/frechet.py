"""Fréchet distance between two sets of features.

On Inception features this is the FID. With d columns, and X and Y the centred features,

    tr sqrt(S1 S2) = || X Y^T ||_* / sqrt((n - 1) (m - 1)),

so the singular values of an n by m matrix take the place of the square root of a d by d one:
exact, and faster wherever there are fewer images than columns. With more images than columns, X
and Y are first replaced by the triangular factors of their QR decompositions, which leaves the
singular values as they are.
"""

import numpy as np
import numpy.typing as npt

from morphpipe.evaluation.core.feature_arrays import Array, checked_pair
from morphpipe.evaluation.core.statistics import Statistic


def _covariance_term(x: Array, y: Array, nuclear_norm: float) -> float:
    """Give tr(S1 + S2 - 2 sqrt(S1 S2)) of centred features."""
    n, m = len(x), len(y)
    trace = float(np.vdot(x, x)) / (n - 1) + float(np.vdot(y, y)) / (m - 1)
    covariance_term = trace - 2 * nuclear_norm / ((n - 1) * (m - 1)) ** 0.5
    # The term is a squared distance between covariances. Below the rounding of these sums nothing
    # is known of it but that it is tiny: identical sets shall give 0, never -1e-13.
    rounding = 8 * np.finfo(np.float64).eps * max(n, m) * trace
    return covariance_term if covariance_term > rounding else 0.0


def _triangular(rows: Array) -> Array:
    """Give a factor R with R^T R = X^T X and no more rows than columns."""
    if len(rows) <= rows.shape[1]:
        return rows
    return np.asarray(np.linalg.qr(rows, mode="r"), dtype=np.float64)


def _factorised(rows: Array) -> tuple[Array | None, Array]:
    """Give Q and R of X = Q R, or None and X where that has no more rows than columns."""
    if len(rows) <= rows.shape[1]:
        return None, rows
    basis, factor = np.linalg.qr(rows)
    return basis, factor


def frechet_distance(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Fréchet distance of two Gaussians with the means and covariances of two sets of features.

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
    left, right = checked_pair(x, y, minimum=2)
    difference = left.mean(axis=0) - right.mean(axis=0)
    # In place: they are copies already, and may be gigabytes.
    left -= left.mean(axis=0)
    right -= right.mean(axis=0)
    cross = _triangular(left) @ _triangular(right).T
    nuclear_norm = float(np.linalg.svd(cross, compute_uv=False).sum())
    return float(difference @ difference) + _covariance_term(left, right, nuclear_norm)


def linearised_frechet_distance(x: npt.ArrayLike, y: npt.ArrayLike) -> Statistic:
    """Fréchet distance with each image's contribution to its uncertainty.

    The derivative of the nuclear norm of M = X Y^T with respect to the weight of row i is half
    the i-th diagonal element of (M M^T)^(1/2); shifting the mean does not matter to first order,
    since the singular vectors of a centred matrix are orthogonal to the constant one. One
    decomposition thus gives the contributions of all images.

    Parameters
    ----------
    x, y
        [n, d] and [m, d] as in `frechet_distance`.
    """
    left, right = checked_pair(x, y, minimum=2)
    n, m = len(left), len(right)
    difference = left.mean(axis=0) - right.mean(axis=0)
    # In place: they are copies already, and may be gigabytes.
    left -= left.mean(axis=0)
    right -= right.mean(axis=0)
    (left_basis, left_factor), (right_basis, right_factor) = _factorised(left), _factorised(right)
    u, singular, vt = np.linalg.svd(left_factor @ right_factor.T, full_matrices=False)
    value = float(difference @ difference) + _covariance_term(left, right, float(singular.sum()))

    def contributions(rows: Array, vectors: Array, sign: int) -> Array:
        count = len(rows)
        overlap = vectors**2 @ singular / ((n - 1) * (m - 1)) ** 0.5
        spread = np.einsum("ij,ij->i", rows, rows)
        slope = 2 * sign * rows @ difference + count / (count - 1) * spread - count * overlap
        return (slope - slope.mean()) / count

    return Statistic(
        value,
        contributions(left, u if left_basis is None else left_basis @ u, 1),
        contributions(right, vt.T if right_basis is None else right_basis @ vt.T, -1),
    )
