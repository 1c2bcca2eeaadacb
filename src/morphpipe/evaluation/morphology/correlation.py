"""Correlation matrices of the features of real and generated fields.

MorphGen's figure 4 shows the matrices of the "top ten PCA-selected features" without saying how
they were selected. Here they are those with the largest variance explained by the principal
components: the sum over components of the squared loading times the component's variance.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import checked
from morphpipe.evaluation.core.statistics import Array, Statistic


class MatrixAgreement(NamedTuple):
    """Agreement of two correlation matrices.

    Attributes
    ----------
    pearson
        Pearson's r between their entries above the diagonal.
    rms
        Root mean square of the entries' differences.
    pairs
        Number of entries in both.
    """

    pearson: float
    rms: float
    pairs: int


def top_features(
    components: npt.ArrayLike, explained_variance: npt.ArrayLike, *, number: int = 10
) -> npt.NDArray[np.intp]:
    """Select the features with the most variance explained by principal components.

    Parameters
    ----------
    components
        [k, d]: unit vectors.
    explained_variance
        [k]: variance along each.
    number
        Number of features, at most d (MorphGen's figure 4 has 10).

    Returns
    -------
    numpy.ndarray
        Positions of the features, largest first.
    """
    axes, variance = np.asarray(components), np.asarray(explained_variance)
    explained = variance @ axes**2
    return np.argsort(-explained, kind="stable")[:number]


def correlation_matrix(values: npt.ArrayLike) -> Array:
    """Pearson correlations between columns: [n, d] to [d, d]; NaN for constant columns."""
    x = checked(values, "morphological", minimum=3)
    centred = x - x.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    constant = norms <= 1e-12 * np.sqrt((x**2).sum(axis=0)) + np.finfo(float).tiny
    norms[constant] = np.nan
    correlation: Array = np.clip((centred / norms).T @ (centred / norms), -1, 1)
    return correlation


def matrix_agreement(left: npt.ArrayLike, right: npt.ArrayLike) -> MatrixAgreement:
    """Compare two correlation matrices [d, d] by their entries above the diagonal.

    Raises
    ------
    DataError
        If fewer than three entries can be compared, or all entries of a matrix are equal.
    """
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise DataError(f"correlation matrices of shapes {a.shape} and {b.shape} do not fit")
    upper = np.triu_indices(len(a), k=1)
    x, y = a[upper], b[upper]
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < 3:
        raise DataError(
            f"{len(x)} pairs of features vary on both sides, three are needed to compare "
            "correlations"
        )
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise DataError("all correlations of one side are equal: their pattern cannot be compared")
    pearson = float(np.corrcoef(x, y)[0, 1])
    return MatrixAgreement(pearson, float(np.sqrt(np.mean((x - y) ** 2))), len(x))


class AgreementStatistics(NamedTuple):
    """`MatrixAgreement` of two sets of fields, with the contribution of each field."""

    pearson: Statistic
    rms: Statistic


def linearised_agreement(left: npt.ArrayLike, right: npt.ArrayLike) -> AgreementStatistics:
    """Compare the correlation matrices of two sets, linearised in the fields.

    The derivative of a correlation C_ab with respect to the weight of a field whose standardised
    features are z is z_a z_b - C_ab (z_a^2 + z_b^2) / 2.

    Parameters
    ----------
    left, right
        [n, d] and [m, d]: the same features of two sets of fields.

    Raises
    ------
    DataError
        As in `matrix_agreement` and `correlation_matrix`.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (left, right)]
    matrices = [correlation_matrix(side) for side in sides]
    agreement = matrix_agreement(*matrices)
    rows, columns = np.triu_indices(len(matrices[0]), k=1)
    both = np.isfinite(matrices[0][rows, columns]) & np.isfinite(matrices[1][rows, columns])
    upper = (rows[both], columns[both])
    x, y = (matrix[upper] for matrix in matrices)
    of_pearson = correlation_gradients(x, y)
    apart = (x - y) / (agreement.pairs * agreement.rms) if agreement.rms > 0 else np.zeros_like(x)
    return AgreementStatistics(
        Statistic(agreement.pearson, *_contributions(sides, matrices, upper, of_pearson)),
        Statistic(agreement.rms, *_contributions(sides, matrices, upper, (apart, -apart))),
    )


def correlation_gradients(x: Array, y: Array) -> tuple[Array, Array]:
    """Derivatives of Pearson's r of two non-constant vectors with respect to each."""
    centred = [values - values.mean() for values in (x, y)]
    norms = [float(np.linalg.norm(values)) for values in centred]
    a, b = (values / norm for values, norm in zip(centred, norms, strict=True))
    r = float(a @ b)
    return (b - r * a) / norms[0], (a - r * b) / norms[1]


def _contributions(
    sides: list[Array],
    matrices: list[Array],
    upper: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    gradients: tuple[Array, Array],
) -> tuple[Array, Array]:
    found = []
    for values, matrix, gradient in zip(sides, matrices, gradients, strict=True):
        centred = values - values.mean(axis=0)
        scale = centred.std(axis=0)
        varies = np.isfinite(np.diag(matrix))
        z = np.divide(centred, scale, out=np.zeros_like(centred), where=varies & (scale > 0))
        weights = np.zeros_like(matrix)
        weights[upper] = gradient / 2
        weights += weights.T
        # Entries of weight 0 may be NaN.
        known = np.where(weights == 0, 0.0, matrix)
        products = np.einsum("ia,ab,ib->i", z, weights, z, optimize=True)
        found.append((products - z**2 @ (weights * known).sum(axis=1)) / len(z))
    return found[0], found[1]
