"""Size of a perturbation's effect in feature space."""

import numpy as np
import numpy.typing as npt

from morphpipe.errors import DataError
from morphpipe.evaluation.feature_arrays import Array, checked_pair
from morphpipe.evaluation.statistics import group_index


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


def noise_of_mean(features: Array, groups: npt.ArrayLike | None = None) -> float:
    """Estimate the expected squared distance between a sample mean and the true one.

    tr(S)/n for independent images. With wells given, the cluster-robust counterpart
    G/(G-1) sum over wells |sum over its images of (x - mean)|^2 / n^2, which is the same when
    every image is a well of its own.

    Parameters
    ----------
    features
        float64 [n, d].
    groups
        The well of each image, or None where each image stands for itself.

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
    centred = features - features.mean(axis=0)
    totals = np.zeros((units, features.shape[1]))
    np.add.at(totals, index, centred)
    return float(np.vdot(totals, totals)) / number**2 * units / (units - 1)


def cate_unbiased(
    control: npt.ArrayLike,
    treated: npt.ArrayLike,
    *,
    control_groups: npt.ArrayLike | None = None,
    treated_groups: npt.ArrayLike | None = None,
) -> float:
    """Treatment effect as in `cate`, minus the sampling noise of both means.

    Its expectation is the squared distance of the true means; without an effect it scatters
    around 0 and is negative half of the time.

    Parameters
    ----------
    control, treated
        [n, d] and [m, d], at least two independent units each.
    control_groups, treated_groups
        The wells, when images of one well share its deviation; None takes images as independent.

    Raises
    ------
    DataError
        If a set has fewer than two units, a value is not finite, or the columns differ.
    """
    x, y = checked_pair(control, treated, names=("control", "treated"), minimum=2)
    return cate(x, y) - noise_of_mean(x, control_groups) - noise_of_mean(y, treated_groups)
