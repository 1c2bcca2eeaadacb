"""Confidence intervals with wells, not fields of view, as independent units.

- `bootstrap_interval` resamples wells, for statistics that tolerate repeated images.
- `influence_interval` is for distances between distributions. A bootstrap sample repeats about a
  third of its images, which a Fréchet distance or an MMD reads as a narrower distribution:
  bootstrapped values lie systematically above the value itself. The linearised interval
  (infinitesimal jackknife) uses the derivative of the distance with respect to the weight of each
  image, summed per well, and repeats no image. It covers the distance expected *at these numbers
  of images*.
- `wilson_interval` is for proportions, `t_interval` for the papers' ± over seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used

from morphpipe.core.errors import DataError

Array = npt.NDArray[np.float64]

LEVEL = 0.95
"""Confidence level of all intervals."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Statistic:
    """A two-sample statistic with the influence value of each image.

    Attributes
    ----------
    value
        The statistic.
    left, right
        float64 [n] and [m]: derivative with respect to the weight of each image times its weight
        (1/n, 1/m), centred. The sum of squares over independent units estimates the variance.
    """

    value: float
    left: Array
    right: Array


def check_level(level: float) -> None:
    """Raise DataError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise DataError(f"a confidence level lies between 0 and 1, not {level}; use 0.95 for 95 %")


def group_index(groups: npt.ArrayLike, length: int) -> tuple[npt.NDArray[np.intp], int]:
    """Number the groups of n rows 0 … G-1: intp [n], and G.

    Raises
    ------
    DataError
        Unless there is one group label per row.
    """
    labels = np.asarray(groups)
    if labels.shape != (length,):
        raise DataError(
            f"one well label is needed per image, but there are {labels.size} labels "
            f"for {length} images"
        )
    unique, index = np.unique(labels, return_inverse=True)
    return index, len(unique)


def bootstrap_counts(groups: int, replicates: int, generator: np.random.Generator) -> Array:
    """Draw how often each group is resampled: float64 [replicates, groups].

    G - 1 of G groups are drawn with replacement, so that the variance of a mean is unbiased for few
    wells (Rao and Wu, J. Am. Stat. Assoc. 83, 1988).
    """
    if groups < 2:
        raise DataError("a bootstrap over wells needs at least two wells")
    draws = generator.multinomial(groups - 1, np.full(groups, 1 / groups), size=replicates)
    return draws.astype(np.float64)


def interval_from_replicates(replicates: npt.ArrayLike, *, level: float = LEVEL) -> Interval:
    """Percentile interval of bootstrap replicates [R]."""
    check_level(level)
    drawn = np.asarray(replicates, dtype=np.float64)
    if drawn.size < 2 or not np.isfinite(drawn).all():
        raise DataError("an interval needs at least two finite bootstrap replicates")
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(low), float(high))


def bootstrap_interval(
    statistic: Callable[..., float],
    samples: Sequence[npt.NDArray[np.float64]],
    groups: Sequence[npt.ArrayLike | None],
    *,
    replicates: int = 1000,
    seed: int,
    level: float = LEVEL,
) -> Interval:
    """Bootstrap a statistic of one or more independent samples over wells.

    Not for distances between distributions (use `influence_interval`) or squared distances of
    means, whose replicates are shifted (see `morphpipe.evaluation.effects.cate.variance_of_cate`).

    Parameters
    ----------
    statistic
        Called with one resampled array per sample.
    samples
        Arrays whose first axis counts images.
    groups
        For each sample the well of each image; None for independent (e.g. generated) images.
    replicates
        Number of bootstrap samples.

    Raises
    ------
    DataError
        If a sample has fewer than two groups or its labels do not match.
    """
    if len(samples) != len(groups) or not samples:
        raise DataError("the bootstrap needs one entry of groups per sample")
    generator = np.random.default_rng(seed)
    times = []
    for sample, labels in zip(samples, groups, strict=True):
        length = len(sample)
        index, number = group_index(np.arange(length) if labels is None else labels, length)
        counts = bootstrap_counts(number, replicates, generator).astype(np.intp)
        times.append(counts[:, index])
    drawn = np.empty(replicates)
    for replicate in range(replicates):
        drawn[replicate] = statistic(
            *(
                np.repeat(sample, counts[replicate], axis=0)
                for sample, counts in zip(samples, times, strict=True)
            )
        )
    return interval_from_replicates(drawn, level=level)


def student_interval(
    value: float, variance: float, freedom: float, *, level: float = LEVEL
) -> Interval:
    """Value ± t times its standard error, with the given degrees of freedom."""
    check_level(level)
    half_width = float(scipy.special.stdtrit(freedom, (1 + level) / 2)) * variance**0.5
    return Interval(value - half_width, value + half_width)


class InfluenceValues(NamedTuple):
    """Influence values of one sample's images.

    Attributes
    ----------
    values
        float [n] as in `Statistic`, or [R, n] if the statistic is the mean over R random draws from
        the same images.
    groups
        The well of each image; None for independent images.
    strata
        The condition of each image if the mix of conditions was fixed: differences between
        conditions are then not uncertainty. None for a single stratum.
    """

    values: npt.ArrayLike
    groups: npt.ArrayLike | None = None
    strata: npt.ArrayLike | None = None


def _strata(
    wells: npt.NDArray[np.intp], number: int, strata: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Stratum of each well; strata of a single well have no variance and are merged."""
    of_well = np.zeros(number, dtype=np.intp)
    of_well[wells] = strata
    alone = np.bincount(of_well)[of_well] == 1
    if alone.sum() == 1:
        # A lone single-well stratum is merged with another stratum.
        alone |= of_well == of_well[~alone][0]
    joined: npt.NDArray[np.intp] = np.unique(
        np.where(alone, of_well.max() + 1, of_well), return_inverse=True
    )[1]
    return joined


def _variance(contributions: InfluenceValues) -> tuple[float, int]:
    values = np.atleast_2d(np.asarray(contributions.values, dtype=np.float64))
    draws, length = values.shape
    wells, number = group_index(
        np.arange(length) if contributions.groups is None else contributions.groups, length
    )
    strata, _ = group_index(
        np.zeros(length) if contributions.strata is None else contributions.strata, length
    )
    if number < 2:
        raise DataError("an interval over wells needs at least two wells in each sample")
    of_well = _strata(wells, number, strata)
    counts = np.bincount(of_well)
    correction = (counts / (counts - 1))[of_well]
    totals = np.empty((draws, number))
    for draw, row in enumerate(values):
        means = np.bincount(of_well[wells], weights=row) / np.bincount(of_well[wells])
        totals[draw] = np.bincount(wells, weights=row - means[of_well[wells]], minlength=number)
    squares = totals.sum(axis=0) ** 2
    if draws > 1:
        # The square of a mean over draws includes their scatter; products of different draws do
        # not.
        squares = (squares - (totals**2).sum(axis=0)) * draws / (draws - 1)
    variance = float(squares @ correction) / draws**2
    return max(variance, 0.0), int(number - len(counts))


def influence_interval(
    value: float,
    contributions: Sequence[InfluenceValues],
    *,
    draw_variance: float = 0.0,
    level: float = LEVEL,
) -> Interval:
    """Compute the interval of a smooth statistic from its influence values.

    Parameters
    ----------
    contributions
        One entry per independent sample.
    draw_variance
        Variance of the value due to a finite number of random draws.

    Returns
    -------
    Interval
        Value ± t times the standard error, with Welch–Satterthwaite degrees of freedom.

    Raises
    ------
    DataError
        If a sample has fewer than two wells.
    """
    check_level(level)
    estimates = [_variance(sample) for sample in contributions]
    variances = np.array([variance for variance, _ in estimates])
    freedoms = np.array([freedom for _, freedom in estimates])
    variance = float(variances.sum()) + draw_variance
    if variance == 0:
        return Interval(value, value)
    # Welch and Satterthwaite; at least those of the smallest sample.
    inverse = float(np.sum((variances / variance) ** 2 / freedoms))
    freedom = max(1 / inverse if inverse > 0 else 0.0, float(freedoms.min()))
    return student_interval(value, variance, freedom, level=level)


def wilson_interval(
    correct: npt.ArrayLike, groups: npt.ArrayLike | None = None, *, level: float = LEVEL
) -> Interval:
    """Compute Wilson's interval of a proportion with wells as the independent units.

    Images of one well are correlated, so the number of images is divided by the design effect
    (clustered over binomial variance), and kept between the numbers of wells and images. If all
    images agree, the design effect is unknown and the number of wells is used.

    Parameters
    ----------
    correct
        bool [n].
    groups
        The well of each image; None for independent images.
    """
    check_level(level)
    hits = np.asarray(correct, dtype=np.float64)
    if hits.ndim != 1 or hits.size == 0:
        raise DataError("a proportion needs at least one image")
    index, number = group_index(np.arange(hits.size) if groups is None else groups, hits.size)
    share = float(hits.mean())
    effective = float(number)
    if groups is None:
        effective = float(hits.size)
    elif 0 < share < 1 and number > 1:
        totals = np.bincount(index, weights=hits - share, minlength=number)
        clustered = float(totals @ totals) / hits.size**2 * number / (number - 1)
        binomial = share * (1 - share) / hits.size
        # At most as many as independent images.
        effective = hits.size * min(1.0, binomial / clustered) if clustered > 0 else hits.size
        effective = max(effective, float(number))
    z = float(scipy.special.ndtri((1 + level) / 2))
    centre = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half_width = (
        z
        / (1 + z**2 / effective)
        * (share * (1 - share) / effective + z**2 / (4 * effective**2)) ** 0.5
    )
    return Interval(max(0.0, centre - half_width), min(1.0, centre + half_width))


def t_interval(values: npt.ArrayLike, *, level: float = LEVEL) -> tuple[float, Interval]:
    """Compute the mean and t-interval over seeds, the ± of the papers' tables.

    Raises
    ------
    DataError
        If there are fewer than two values, or a value is not finite.
    """
    check_level(level)
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < 2 or not np.isfinite(sample).all():
        raise DataError("an interval over seeds needs at least two finite values, one per seed")
    mean = float(sample.mean())
    variance = float(sample.var(ddof=1)) / sample.size
    return mean, student_interval(mean, variance, sample.size - 1, level=level)
