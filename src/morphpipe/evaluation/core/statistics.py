"""Intervals that respect the plate: wells, not fields of view, are the independent units.

Three kinds, each where it is right:

- `bootstrap_interval` resamples wells, for statistics that tolerate repeated images.
- `influence_interval` is for distances between distributions. A bootstrap sample holds about a
  third of its images twice or more, which a Fréchet distance or an MMD reads as a narrower
  distribution: bootstrapped values lie systematically above the value itself, and percentiles of
  them need not even contain it. The linearised interval (infinitesimal jackknife) uses the
  derivative of the distance with respect to the weight of each image, summed per well, and never
  repeats an image. It covers the distance to be expected *at these numbers of images*.
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
    """A two-sample statistic and what each image contributes to its uncertainty.

    Attributes
    ----------
    value
        The statistic.
    left, right
        float64 [n] and [m]: the derivative with respect to the weight of each image times the
        weight it has (1/n, 1/m), centred. The sum of squares over independent units estimates the
        variance.
    """

    value: float
    left: Array
    right: Array


def check_level(level: float) -> None:
    """Raise DataError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise DataError(f"a confidence level lies between 0 and 1, not {level}; use 0.95 for 95 %")


def group_index(groups: npt.ArrayLike, length: int) -> tuple[npt.NDArray[np.intp], int]:
    """Give the number of each row's group, 0 … G-1, and G.

    Raises
    ------
    DataError
        If there is not one group label per row.
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
    """Draw how often each group is taken: float64 [replicates, groups].

    G - 1 of G groups are drawn with replacement, which makes the variance of a mean unbiased
    where few wells are there (Rao and Wu, J. Am. Stat. Assoc. 83, 1988).
    """
    if groups < 2:
        raise DataError("a bootstrap over wells needs at least two wells")
    draws = generator.multinomial(groups - 1, np.full(groups, 1 / groups), size=replicates)
    return draws.astype(np.float64)


def interval_from_replicates(replicates: npt.ArrayLike, *, level: float = LEVEL) -> Interval:
    """Give the quantiles of a statistic on bootstrap samples [R] as an interval."""
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
    """Bootstrap over wells for a statistic of one or more independent samples.

    Not for distances between distributions, see `influence_interval`; nor for squared distances
    of means, whose replicates are shifted as a whole, see
    `morphpipe.evaluation.effects.cate.variance_of_cate`.

    Parameters
    ----------
    statistic
        Called with one resampled array per sample.
    samples
        Arrays whose first axis counts images.
    groups
        For each sample the well of each image, or None where each image stands for itself
        (generated images have no wells).
    replicates
        Number of bootstrap samples.
    seed
        Seed of the draws.
    level
        Confidence level.

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
    """Value ± t times its standard error, of so many degrees of freedom."""
    check_level(level)
    half_width = float(scipy.special.stdtrit(freedom, (1 + level) / 2)) * variance**0.5
    return Interval(value - half_width, value + half_width)


class InfluenceValues(NamedTuple):
    """What the images of one sample contribute to the uncertainty of a statistic.

    Attributes
    ----------
    values
        float [n] as in `Statistic`; or [R, n] where the statistic is the mean over R random
        draws from the same images, a row for each.
    groups
        The well of each image; None where each image stands for itself.
    strata
        The condition of each image, where the mix of conditions was fixed beforehand: differences
        between conditions are then no uncertainty. None for a single stratum.
    """

    values: npt.ArrayLike
    groups: npt.ArrayLike | None = None
    strata: npt.ArrayLike | None = None


def _strata(
    wells: npt.NDArray[np.intp], number: int, strata: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Give the stratum of each well; strata of a single well show no variance and are joined."""
    of_well = np.zeros(number, dtype=np.intp)
    of_well[wells] = strata
    alone = np.bincount(of_well)[of_well] == 1
    if alone.sum() == 1:
        # The only one has no other to go with but the wells of another stratum.
        alone |= of_well == of_well[~alone][0]
    joined: npt.NDArray[np.intp] = np.unique(
        np.where(alone, of_well.max() + 1, of_well), return_inverse=True
    )[1]
    return joined


def _variance(contributions: InfluenceValues) -> tuple[float, int]:
    """Estimate the variance between wells within strata, and its degrees of freedom."""
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
        # The square of a mean over draws holds their scatter besides; products of different
        # draws do not.
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
    """Interval of a smooth statistic from what each image contributes to it.

    Parameters
    ----------
    value
        The statistic.
    contributions
        One entry per independent sample.
    draw_variance
        Variance of the value that comes from a finite number of random draws.
    level
        Confidence level.

    Returns
    -------
    Interval
        Value ± t times the standard error; the degrees of freedom follow from the numbers of
        wells (Welch and Satterthwaite).

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
    # Welch and Satterthwaite; with hardly any variance between wells, the fewest wells count.
    inverse = float(np.sum((variances / variance) ** 2 / freedoms))
    freedom = max(1 / inverse if inverse > 0 else 0.0, float(freedoms.min()))
    return student_interval(value, variance, freedom, level=level)


def wilson_interval(
    correct: npt.ArrayLike, groups: npt.ArrayLike | None = None, *, level: float = LEVEL
) -> Interval:
    """Wilson's interval of a proportion, with wells as the independent units.

    Images of one well are right or wrong together; the number of images is therefore divided by
    the design effect (clustered over binomial variance), and never falls below the number of
    wells nor rises above the number of images. Where all images agree the design effect cannot be
    seen and the number of wells counts.

    Parameters
    ----------
    correct
        bool [n].
    groups
        The well of each image, or None where each image stands for itself.
    level
        Confidence level.
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
        # No observed variance between wells cannot buy more than independent images would.
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
    """Mean and t-interval over seeds: the ± of the papers' tables.

    Raises
    ------
    DataError
        If there are fewer than two values or one is not finite.
    """
    check_level(level)
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < 2 or not np.isfinite(sample).all():
        raise DataError("an interval over seeds needs at least two finite values, one per seed")
    mean = float(sample.mean())
    variance = float(sample.var(ddof=1)) / sample.size
    return mean, student_interval(mean, variance, sample.size - 1, level=level)


def paired_interval(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    replicates: int = 10_000,
    seed: int,
    level: float = LEVEL,
) -> tuple[float, Interval]:
    """Mean difference left - right over perturbations, with a bootstrap over perturbations.

    For two models scored on the same perturbations: pairing removes what is hard about a
    perturbation for both of them.
    """
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size < 2:
        raise DataError(
            f"a paired comparison needs the same perturbations on both sides, at least two, "
            f"but the shapes are {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("a paired comparison needs finite values; drop the perturbations without")
    difference = a - b
    counts = bootstrap_counts(a.size, replicates, np.random.default_rng(seed))
    drawn = counts @ difference / (a.size - 1)
    value = float(difference.mean())
    return value, interval_from_replicates(drawn, level=level)
