"""The scatter of a number over seeds."""

from collections.abc import Mapping

import numpy as np

from morphpipe.evaluation.statistics import Interval, t_interval

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
