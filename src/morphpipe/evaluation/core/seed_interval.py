"""Means and intervals over training and sampling seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.statistics import Interval, t_interval

Seeds = tuple[int | None, int | None]
"""Training seed and sampling seed; None where a number has none."""


def seed_interval(values: Mapping[Seeds, float]) -> Interval | None:
    """Compute the 95 % t-interval of the mean over seeds, the ± of MorphGen's tables.

    Samples of one network are more alike than samples of two: with several trainings, each counts
    once, as the mean over its samples. With two or three seeds a bootstrap interval could not leave
    the range of the values.

    Parameters
    ----------
    values
        A finite number per pair of seeds.

    Returns
    -------
    Interval or None
        None for a single training with fewer than two samples.
    """
    trainings: dict[int | None, list[float]] = {}
    for (training, _), value in values.items():
        trainings.setdefault(training, []).append(value)
    units = (
        [float(np.mean(of_one)) for of_one in trainings.values()]
        if len(trainings) > 1
        else list(values.values())
    )
    return t_interval(units)[1] if len(units) > 1 else None


def mean_limits(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Average the limits of the intervals within seeds.

    All seeds are compared with the same real images, whose sampling noise dominates the intervals.
    It does not average out over seeds, so the interval is neither narrowed nor widened with their
    number.

    Parameters
    ----------
    rows
        `ci_low` and `ci_high` of each seed.
    by
        Columns that identify a value across seeds.

    Returns
    -------
    pandas.DataFrame
        `ci_low` and `ci_high` per value; NaN if a seed lacks the limit.
    """
    limits = rows.groupby(list(by), sort=False)[["ci_low", "ci_high"]]
    return limits.mean().where(limits.count().eq(limits.size(), axis=0))
