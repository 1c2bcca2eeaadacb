"""How features go together: correlation matrices of real and of generated fields.

MorphGen's figure 4 shows the matrices of the "top ten PCA-selected features" without saying how
they were selected. Here: those of which the principal components explain the most variance, that
is with the largest sum over components of the squared loading times the component's variance.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from morphpipe.errors import DataError
from morphpipe.evaluation.feature_arrays import checked
from morphpipe.evaluation.statistics import Array


class MatrixAgreement(NamedTuple):
    """How well two correlation matrices agree.

    Attributes
    ----------
    pearson
        Pearson's r between their entries above the diagonal.
    rms
        Root mean square of the entries' differences.
    pairs
        Number of entries that both have.
    """

    pearson: float
    rms: float
    pairs: int


def top_features(
    components: npt.ArrayLike, explained_variance: npt.ArrayLike, *, number: int = 10
) -> npt.NDArray[np.intp]:
    """Choose the features of which principal components explain the most variance.

    Parameters
    ----------
    components
        [k, d]: unit vectors.
    explained_variance
        [k]: variance along each.
    number
        How many, at most d.

    Returns
    -------
    numpy.ndarray
        Positions of the features, the largest first.
    """
    axes, variance = np.asarray(components), np.asarray(explained_variance)
    explained = variance @ axes**2
    return np.argsort(-explained, kind="stable")[:number]


def correlation_matrix(values: npt.ArrayLike) -> Array:
    """Pearson correlations between columns: [n, d] to [d, d]; NaN where a column is constant."""
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
        When fewer than three entries can be compared, or the entries of a matrix are all equal.
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
