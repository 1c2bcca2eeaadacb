"""Size of a perturbation's effect in feature space."""

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked_pair
from morphpipe.evaluation.core.statistics import group_index


def cate(control: npt.ArrayLike, treated: npt.ArrayLike) -> float:
    """Squared L2 distance between the mean features of control and treated images.

    The conditional average treatment effect of MorphGen, section 4.4. Biased upward by the
    sampling noise of both means, tr(S1)/n + tr(S2)/m; see `cate_unbiased`.

    Parameters
    ----------
    control, treated
        [n, d] and [m, d], at least one row each.

    Raises
    ------
    DataError
        If a set is empty, a value is not finite, or the columns differ.
    """
    x, y = checked_pair(control, treated, names=("control", "treated"))
    difference = x.mean(axis=0) - y.mean(axis=0)
    return float(difference @ difference)


def error_of_mean(features: Array, groups: npt.ArrayLike | None = None) -> Array:
    """Contributions of independent units to the sampling error of a mean.

    Parameters
    ----------
    features
        float64 [n, d].
    groups
        The well of each image; None for independent images.

    Returns
    -------
    numpy.ndarray
        float64 E [G, d], one row per unit: E'E estimates the covariance of the mean, i.e. S/n for
        independent images. For wells it is cluster-robust: sqrt(G/(G-1)) times the sum of (x -
        mean) / n over each well's images.

    Raises
    ------
    DataError
        If there are fewer than two independent units.
    """
    number = len(features)
    index, units = group_index(np.arange(number) if groups is None else groups, number)
    if units < 2:
        raise DataError(
            "the sampling noise of a mean cannot be estimated from a single "
            f"{'image' if groups is None else 'well'}; at least two are needed"
        )
    totals = np.zeros((units, features.shape[1]))
    np.add.at(totals, index, features - features.mean(axis=0))
    return totals * ((units / (units - 1)) ** 0.5 / number)


def noise_of_mean(features: Array, groups: npt.ArrayLike | None = None) -> float:
    """Estimate the expected squared distance between a sample mean and the true mean.

    The trace of the covariance of the mean, see `error_of_mean`: tr(S)/n for independent images.
    """
    error = error_of_mean(features, groups)
    return float(np.vdot(error, error))


def _trace_of_square(error: Array) -> float:
    """Estimate tr(C^2) of the covariance C of a mean from its `error_of_mean`.

    Unbiased for Gaussian units (Bai and Saranadasa 1996, Statistica Sinica 6, 311-329, section 3);
    for only two units, the upper bound tr(C)^2.
    """
    freedom, trace = len(error) - 1, float(np.vdot(error, error))
    if freedom < 2:
        return trace**2
    square = float(np.square(error @ error.T).sum())
    unbiased = (square - trace**2 / freedom) * freedom**2 / ((freedom - 1) * (freedom + 2))
    return max(unbiased, 0.0)


def variance_of_cate(difference: Array, control: Array, treated: Array) -> float:
    """Plug-in estimate of the variance of `cate_unbiased`.

    For a Gaussian difference of means with mean m and covariance C it is 4 m'Cm + 2 tr(C^2) (Chen
    and Qin 2010, Annals of Statistics 38, 808-835, section 3), and the subtracted noise adds 2
    tr(C_k^2) / (G_k - 1) for each set. With an observed difference d, d'Cd is too large by tr(C^2),
    which is subtracted.

    Parameters
    ----------
    difference
        float64 [d], difference of the sample means.
    control, treated
        `error_of_mean` of each set.
    """
    of_control, of_treated = _trace_of_square(control), _trace_of_square(treated)
    square = of_control + of_treated + 2 * float(np.square(control @ treated.T).sum())
    along = sum(float(np.square(error @ difference).sum()) for error in (control, treated))
    subtracted = of_control / (len(control) - 1) + of_treated / (len(treated) - 1)
    return 4 * max(along - square, 0.0) + 2 * square + 2 * subtracted


def cate_unbiased(
    control: npt.ArrayLike,
    treated: npt.ArrayLike,
    *,
    control_groups: npt.ArrayLike | None = None,
    treated_groups: npt.ArrayLike | None = None,
) -> float:
    """Compute the treatment effect as in `cate`, minus the sampling noise of both means.

    Its expectation is the squared distance of the true means; without an effect it scatters around
    0 and is negative half of the time.

    Parameters
    ----------
    control, treated
        [n, d] and [m, d], at least two independent units each.
    control_groups, treated_groups
        The wells, if images of one well are correlated; None for independent images.

    Raises
    ------
    DataError
        If a set has fewer than two units, a value is not finite, or the columns differ.
    """
    x, y = checked_pair(control, treated, names=("control", "treated"), minimum=2)
    return cate(x, y) - noise_of_mean(x, control_groups) - noise_of_mean(y, treated_groups)
