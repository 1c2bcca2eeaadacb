"""Rows on the correlation of mean profiles of real and generated fields, per condition.

Measured like the floor of a distance, see `morphpipe.evaluation.morphology.agreement`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.floor import Averaged, Indices
from morphpipe.evaluation.core.statistics import Array
from morphpipe.evaluation.morphology.correlation import correlation_gradients
from morphpipe.evaluation.morphology.intervals import Part, drawn_split_halves, interval_columns
from morphpipe.evaluation.morphology.sets import MorphologySets

Rows = list[dict[str, Any]]
Pair = tuple[str, str]
"""Cell type and perturbation."""


def profile_correlation_rows(sets: MorphologySets) -> Rows:
    """Correlate mean profiles per condition.

    Returns
    -------
    list of dict
        ``profile_correlation``: Pearson's r over features between mean profiles (Spearman's by
        `MorphologySettings.correlation`), generated-real, real-real (two halves by well, the upper
        bound; their mean or minimum by `correlation_floor`) and shuffled-real (generated fields
        against real fields of every other perturbation of the cell type: the effect of a pattern
        common to all perturbations). By cell type and perturbation; cell type ``all`` is the mean
        over cell types, and ``all`` by ``all`` the mean over perturbations, without the negative
        control if it is the centre of the profiles. Conditions of a single real well cannot be
        halved: all their fields are compared, and they enter means only if no condition can be
        halved. Generated-real and real-real have linearised intervals, except for ranks and minima.
    """
    real, generated = sets.real.images, sets.generated.images
    pairs = sorted(
        set(zip(real.column("cell_type"), real.column("perturbation"), strict=True))
        & set(zip(generated.column("cell_type"), generated.column("perturbation"), strict=True))
    )
    pairs = [(cell, name) for cell, name in pairs if cell and name]
    if not pairs or real.features.shape[1] < 3:
        reason = "no condition has real and generated fields, or fewer than three features stand"
        return [
            sets.row(
                "profile_correlation",
                None,
                comparison="generated-real",
                cell_type="all",
                perturbation="all",
                settings={"reason": reason},
            )
        ]
    correlations, sizes, halved = _correlations(sets, pairs)
    controls = set(real.column("perturbation")[real.column("control") == "negative"])
    averaged = halved or set(pairs)
    rows: Rows = []
    for comparison, of_condition in correlations.items():
        for pair, found in of_condition.items():
            rows.append(
                _row(sets, comparison, *pair, [found], n=sizes[pair], halved=pair in halved)
            )
        means: list[list[_Correlation]] = []
        for name in sorted({perturbation for _, perturbation in pairs}):
            known = [
                found
                for pair, found in of_condition.items()
                if pair[1] == name and pair in averaged and np.isfinite(found.value)
            ]
            rows.append(_row(sets, comparison, "all", name, known, mean_over=len(known)))
            if known and not (sets.centred_on_controls and name in controls):
                means.append(known)
        parts = [found.times(1 / len(group)) for group in means for found in group]
        rows.append(_row(sets, comparison, "all", "all", parts, mean_over=len(means)))
    return rows


@dataclass(frozen=True)
class _Correlation:
    """Correlation of one condition.

    Attributes
    ----------
    value
        NaN if undefined.
    part
        The measure with its fields; None without an interval.
    """

    value: float
    part: Part | None

    def times(self, weight: float) -> "_Correlation":
        if self.part is None:
            return _Correlation(weight * self.value, None)
        return _Correlation(weight * self.value, (weight * self.part[0], *self.part[1:]))


def _row(
    sets: MorphologySets,
    comparison: str,
    cell_type: str,
    perturbation: str,
    parts: list[_Correlation],
    *,
    mean_over: int | None = None,
    n: int | None = None,
    halved: bool = True,
) -> dict[str, Any]:
    """One row: a condition, or a mean over conditions (whose parts are already weighted)."""
    settings = sets.settings
    notes: dict[str, Any] = {"seed": settings.seed, "correlation": settings.correlation}
    if comparison == "real-real":
        notes["floor"] = settings.correlation_floor
    if mean_over is None:
        notes["split_halves"] = settings.floor_repeats if halved else 0
    else:
        notes["mean_over"] = mean_over
        parts = [part.times(1 / mean_over) for part in parts]
    value = sum(part.value for part in parts) if parts else float("nan")
    known = bool(np.isfinite(value))
    interval: dict[str, float] = {}
    if not known:
        notes["reason"] = (
            "there is no other perturbation to compare with"
            if comparison == "shuffled-real"
            else "real fields come from fewer than two wells, which cannot be halved, or a mean "
            "profile is flat"
        )
    elif all(part.part is not None for part in parts):
        summed = [part.part for part in parts if part.part is not None]
        interval = interval_columns(sets, summed, notes, (-1.0, 1.0))
    return sets.row(
        "profile_correlation",
        value if known else None,
        comparison=comparison,
        cell_type=cell_type,
        perturbation=perturbation,
        n_left=n,
        n_right=n,
        settings=notes,
        **interval,
    )


class _Draws:
    """Correlations of all conditions per draw, with the contribution of each field.

    Parameters
    ----------
    conditions
        Number of conditions.
    left, right
        Number of fields per side; 0 if the left fields are among the right.
    """

    def __init__(self, conditions: int, left: int, right: int) -> None:
        self._shape = (conditions, left, right)
        self._values: list[Array] = []
        self._left: list[Array] = []
        self._right: list[Array] = []

    def add(self, halves: list[tuple[Array, Array, Array]]) -> None:
        """Add a draw: the mean over halves, for conditions with a value in each."""
        for kept, parts in zip(
            (self._values, self._left, self._right), zip(*halves, strict=True), strict=True
        ):
            kept.append(np.mean(parts, axis=0))

    def of(self, condition: int, left: Indices, right: Indices) -> Averaged | None:
        """One condition, from its fields on each side; None if no draw has a value."""
        values = np.array(self._values).reshape(-1, self._shape[0])[:, condition]
        known = np.isfinite(values)
        if not known.any():
            return None
        return Averaged(
            values[known],
            np.array(self._left)[known][:, left if self._shape[1] else []],
            np.array(self._right)[known][:, right],
        )


def _correlations(
    sets: MorphologySets, pairs: list[Pair]
) -> tuple[dict[str, dict[Pair, _Correlation]], dict[Pair, int], set[Pair]]:
    """Correlations over split halves, by comparison and condition.

    Also returns the number of fields per mean profile and the conditions that could be halved.
    """
    real, generated = sets.real.images, sets.generated.images
    names = ["\x1f".join(pair) for pair in pairs]
    of_real, of_generated = real.conditions, generated.conditions
    pool = [np.flatnonzero(of_generated == name) for name in names]
    wells = [np.flatnonzero(of_real == name) for name in names]
    try:
        drawn = drawn_split_halves(sets)
    except DataError:
        drawn = []
    same_cell = np.array([[a[0] == b[0] and a != b for b in pairs] for a in pairs])
    sizes = dict.fromkeys(pairs, 0)
    against_real = _Draws(len(pairs), len(generated), len(real))
    floor = _Draws(len(pairs), 0, len(real))
    shuffled: list[Array] = []
    generator = np.random.default_rng([sets.settings.seed, 1])
    ranked = sets.settings.correlation == "spearman"

    def against(rows: list[Indices], size: list[int]) -> tuple[Array, Array, Array]:
        """Newly drawn generated fields against real fields, also of all other perturbations."""
        drawn_fields = [generator.permutation(candidates) for candidates in pool]
        left, right = _cut(drawn_fields, size), _cut(rows, size)
        means = _means(generated, left), _means(real, right)
        correlations = _row_correlations(*(map(_ranks, means) if ranked else means))
        others = np.where(same_cell & np.isfinite(correlations), correlations, np.nan)
        shuffled.append(_mean_of_known(others, axis=1))
        return _linearised(generated, left, real, right, ranked=ranked)

    for split_half in drawn:
        halves = [
            [half[of_real[half] == name] for name in names]
            for half in (split_half.first, split_half.second)
        ]
        size = [
            min(len(a), len(b), len(c)) for a, b, c in zip(halves[0], halves[1], pool, strict=True)
        ]
        sizes = {
            pair: (n if not sizes[pair] else min(n, sizes[pair]))
            for pair, n in zip(pairs, size, strict=True)
        }
        parts = [_cut(half, size) for half in halves]
        values, left, right = _linearised(real, parts[0], real, parts[1], ranked=ranked)
        floor.add([(values, np.zeros(0), left + right)])
        against_real.add([against(half, size) for half in halves])
    results = {"generated-real": against_real, "real-real": floor}
    found: dict[str, list[Averaged | None]] = {
        name: [draws.of(i, pool[i], wells[i]) for i in range(len(pairs))]
        for name, draws in results.items()
    }
    control = (
        _mean_of_known(np.array(shuffled), axis=0) if shuffled else np.full(len(pairs), np.nan)
    )
    lacking = [one is None for one in found["generated-real"]]
    if any(lacking):
        whole = [generator.permutation(rows) for rows in wells]
        size = [min(len(a), len(b)) for a, b in zip(whole, pool, strict=True)]
        once = _Draws(len(pairs), len(generated), len(real))
        once.add([against(whole, size)])
        for i in np.flatnonzero(lacking):
            found["generated-real"][i] = once.of(int(i), pool[i], wells[i])
            control[i] = shuffled[-1][i]
            sizes[pairs[i]] = size[i]

    def correlation(averaged: Averaged | None, left: FeatureSet | None, i: int) -> _Correlation:
        if averaged is None:
            return _Correlation(float("nan"), None)
        if left is None and sets.settings.correlation_floor == "minimum":
            return _Correlation(float(averaged.values.min()), None)
        if ranked:
            return _Correlation(averaged.value, None)
        return _Correlation(averaged.value, (1.0, averaged, left, real.select(wells[i])))

    return (
        {
            "generated-real": {
                pair: correlation(one, generated.select(pool[i]), i)
                for i, (pair, one) in enumerate(zip(pairs, found["generated-real"], strict=True))
            },
            "real-real": {
                pair: correlation(one, None, i)
                for i, (pair, one) in enumerate(zip(pairs, found["real-real"], strict=True))
            },
            "shuffled-real": {
                pair: _Correlation(float(value), None)
                for pair, value in zip(pairs, control, strict=True)
            },
        },
        sizes,
        {pair for pair, lack in zip(pairs, lacking, strict=True) if not lack},
    )


def _cut(rows: list[Indices], sizes: list[int]) -> list[Indices]:
    return [chosen[:size] for chosen, size in zip(rows, sizes, strict=True)]


def _linearised(
    left: FeatureSet,
    left_rows: list[Indices],
    right: FeatureSet,
    right_rows: list[Indices],
    *,
    ranked: bool,
) -> tuple[Array, Array, Array]:
    """Pearson's r between the mean profiles of each condition, or their ranks.

    Returns
    -------
    tuple
        The correlations [c], NaN if a side has no fields or a constant profile, and the
        contributions of the fields of both sides [n], [m]; 0 for ranks.
    """
    values = np.full(len(left_rows), np.nan)
    contributions = (np.zeros(len(left)), np.zeros(len(right)))
    for place, rows in enumerate(zip(left_rows, right_rows, strict=True)):
        profiles = [
            images.features[chosen].astype(np.float64)
            for images, chosen in zip((left, right), rows, strict=True)
        ]
        if not all(map(len, profiles)):
            continue
        means = [profile.mean(axis=0) for profile in profiles]
        if any(np.ptp(mean) == 0 for mean in means):
            continue
        if ranked:
            ranks = [_ranks(mean[None]) for mean in means]
            values[place] = _row_correlations(*ranks)[0, 0]
            continue
        values[place] = _row_correlations(means[0][None], means[1][None])[0, 0]
        gradients = correlation_gradients(*means)
        for result, chosen, profile, mean, gradient in zip(
            contributions, rows, profiles, means, gradients, strict=True
        ):
            result[chosen] += (profile - mean) @ gradient / len(profile)
    return values, *contributions


def _ranks(profiles: Array) -> Array:
    ranks: Array = rankdata(profiles, axis=1, nan_policy="propagate")
    return ranks


def _row_correlations(left: Array, right: Array) -> Array:
    """Pearson's r between the rows of two sets of mean profiles: [c, d] and [c, d] to [c, c]."""

    def unit(profiles: Array) -> Array:
        centred = profiles - profiles.mean(axis=1, keepdims=True)
        norms = np.sqrt((centred**2).sum(axis=1, keepdims=True))
        result: Array = np.divide(
            centred, norms, out=np.full_like(centred, np.nan), where=norms > 0
        )
        return result

    correlations: Array = unit(left) @ unit(right).T
    return correlations


def _means(images: FeatureSet, rows: list[Indices]) -> Array:
    result = np.full((len(rows), images.features.shape[1]), np.nan)
    for place, chosen in enumerate(rows):
        if len(chosen):
            result[place] = images.features[chosen].mean(axis=0, dtype=np.float64)
    return result


def _mean_of_known(values: Array, axis: int) -> Array:
    known = np.isfinite(values)
    number = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    result: Array = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return result
