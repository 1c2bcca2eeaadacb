"""A number over seeds: its scatter, and the interval that it has within them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.statistics import Interval, t_interval

Seeds = tuple[int | None, int | None]
"""Training seed and sampling seed; None where a number has none."""


def seed_interval(values: Mapping[Seeds, float]) -> Interval | None:
    """95 % t-interval of the mean over seeds: what stands behind ± in MorphGen's tables.

    Two samples of one network are more alike than samples of two: with several trainings, each
    counts once, by the mean over its samples. With two or three seeds a bootstrap would draw the
    same few values again and again, and its interval could not leave their range.

    Parameters
    ----------
    values
        A finite number for every pair of seeds.

    Returns
    -------
    Interval or None
        None with fewer than two trainings or, of a single one, fewer than two samples.
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
    """The interval of a mean over seeds, from the intervals within the seeds: means of the limits.

    All seeds are compared with the same real images, and their intervals mostly say how much
    these are left to chance. That does not average out over seeds, so that the interval is not
    narrowed; nor does it grow with their number, as the widest interval of all would.

    Parameters
    ----------
    rows
        `ci_low` and `ci_high` of the values of every seed.
    by
        Columns that are the same for the seeds of one number.

    Returns
    -------
    pandas.DataFrame
        `ci_low` and `ci_high` for each number; NaN where a seed lacks the limit.
    """
    limits = rows.groupby(list(by), sort=False)[["ci_low", "ci_high"]]
    return limits.mean().where(limits.count().eq(limits.size(), axis=0))
