"""Variance of features within conditions, to detect mode collapse.

MorphGen's table 7 compares the feature variance of generated and real images per perturbation: a
generator that has collapsed to one image per condition has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import checked
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.floor import SplitHalf, draw_split_halves, from_several_wells
from morphpipe.evaluation.core.scopes import Scope, of_generated_conditions, scopes
from morphpipe.evaluation.core.statistics import (
    LEVEL,
    Array,
    InfluenceValues,
    Interval,
    Statistic,
    influence_interval,
)
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]


# Minimum images of a condition per side. Unlike a Fréchet distance the variance is unbiased at any
# number of images.
_MINIMUM = 4


def feature_variance(features: npt.ArrayLike) -> Statistic:
    """Compute the variance over images (with n - 1), averaged over features.

    Parameters
    ----------
    features
        [n, d] with n >= 2.

    Returns
    -------
    Statistic
        Contributions are on the left; there are none on the right.

    Raises
    ------
    DataError
        If a value is not finite, or there is a single image.
    """
    values = checked(features, "", minimum=2)
    number = len(values)
    squares = ((values - values.mean(axis=0)) ** 2).mean(axis=1)
    variance = float(squares.sum() / (number - 1))
    return Statistic(variance, (squares - squares.mean()) / (number - 1), np.empty(0))


def variance_within(images: FeatureSet, conditions: Sequence[str]) -> tuple[float, Array]:
    """Compute the mean variance within conditions, equally weighted, and each image's contribution.

    Parameters
    ----------
    images
        At least two per condition.
    conditions
        Labels of `FeatureSet.conditions`.
    """
    contributions = np.zeros(len(images))
    values = []
    for condition in conditions:
        rows = np.flatnonzero(images.conditions == condition)
        found = feature_variance(images.features[rows])
        values.append(found.value)
        contributions[rows] = found.left / len(conditions)
    return float(np.mean(values)), contributions


def _enough(images: FeatureSet, minimum: int) -> set[str]:
    names, counts = np.unique(images.conditions, return_counts=True)
    return {str(name) for name in names[counts >= max(minimum, 2)]}


@dataclass
class _Comparing:
    """Images of one scope, restricted to conditions with enough images on all sides."""

    columns: dict[str, Any]
    conditions: list[str]
    reason: str
    rows: Rows

    def add(
        self,
        metric: str,
        comparison: str,
        parts: Sequence[tuple[FeatureSet, float]],
        **seeds: int | None,
    ) -> None:
        """Add a signed sum of the variances of some image sets."""
        columns = {**self.columns, **seeds, "metric": metric, "comparison": comparison}
        if self.reason:
            self.rows.append(metric_row(**columns, settings={"reason": self.reason}))
            return
        chosen = [
            (images.select(np.isin(images.conditions, self.conditions)), sign)
            for images, sign in parts
        ]
        found = [(*variance_within(images, self.conditions), sign) for images, sign in chosen]
        value = sum(sign * variance for variance, _, sign in found)
        settings: dict[str, Any] = {"conditions": len(self.conditions)}
        interval: dict[str, float] = {}
        if from_several_wells(*(images for images, _ in chosen)):
            low, high = self._interval(value, chosen, [part for _, part, _ in found])
            interval = {"ci_low": low if metric.endswith("difference") else max(low, 0.0)}
            interval["ci_high"] = high
            settings |= {
                "interval": "linearised, wells within conditions as units",
                "level": LEVEL,
            }
        else:
            settings["interval"] = "none: a set is from a single well"
        sizes = [len(images) for images, _ in chosen]
        self.rows.append(
            metric_row(
                **columns,
                **interval,
                n_left=sizes[0],
                n_right=sizes[1] if len(sizes) > 1 else None,
                value=value,
                settings=settings,
            )
        )

    def _interval(
        self,
        value: float,
        chosen: Sequence[tuple[FeatureSet, float]],
        contributions: Sequence[Array],
    ) -> Interval:
        return influence_interval(
            value,
            [
                InfluenceValues(part, images.groups, images.conditions)
                for (images, _), part in zip(chosen, contributions, strict=True)
            ],
        )

    def add_floor(self, real: FeatureSet, repeats: int, seed: int) -> None:
        """Add the mean absolute difference between two halves of the real wells."""
        columns = {**self.columns, "metric": "variance_difference", "comparison": "real-real"}
        chosen = real.select(np.isin(real.conditions, self.conditions))
        reason, drawn = self.reason, list[SplitHalf]()
        if not reason:
            drawn, reason = draw_split_halves(
                chosen,
                repeats=repeats,
                at_most=len(chosen),
                minimum=2,
                seed=seed,
            )
        differences = []
        for split_half in drawn:
            halves = [chosen.select(half) for half in (split_half.first, split_half.second)]
            shared = sorted(set.intersection(*(_enough(half, 2) for half in halves)))
            if shared:
                one, other = (variance_within(half, shared)[0] for half in halves)
                differences.append(abs(one - other))
        if not differences:
            reason = reason or "no condition has two images in each half"
            self.rows.append(metric_row(**columns, settings={"reason": reason}))
            return
        size = len(drawn[0].first)
        self.rows.append(
            metric_row(
                **columns,
                value=float(np.mean(differences)),
                n_left=size,
                n_right=size,
                settings={
                    "of": "absolute difference between halves",
                    "split_halves": len(differences),
                    "seed": seed,
                },
            )
        )


def variance_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet | None = None,
    *,
    context: Mapping[str, Any],
    floor_repeats: int,
    seed: int,
) -> Rows:
    """Compare the feature variance of generated and real images.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real
        Real held-out images.
    training
        Training images for the copy control; None omits it.
    floor_repeats
        Number of random split halves of the real wells.

    Returns
    -------
    list of dict
        Rows of the metric table: ``feature_variance`` with the comparisons ``real``, ``generated``
        and ``training``; ``variance_difference`` with ``generated-real`` and ``copy-real`` (left
        minus right) and ``real-real`` (absolute, between halves by well). Over several conditions
        it is the mean of their variances; variance between conditions never counts.

    Raises
    ------
    DataError
        If the sets are inconsistent.
    """
    check_sides(generated, real, training)
    if len(real) == 0:
        raise DataError("variances need at least one real held-out image")
    real = of_generated_conditions(real, generated)
    training = None if training is None else of_generated_conditions(training, generated)
    common = {**context, "extractor": generated.extractor, "view": generated.view}
    by_seed = list(generated.by_seed())
    rows: Rows = []
    for scope in scopes(generated):
        of_scope = scope.of(real)
        copies = None if training is None else scope.of(training)
        comparing = _comparing(scope, common, rows, of_scope, copies, by_seed)
        comparing.add("feature_variance", "real", [(of_scope, 1)])
        comparing.add_floor(of_scope, floor_repeats, seed)
        if copies is not None:
            comparing.add("feature_variance", "training", [(copies, 1)])
            comparing.add("variance_difference", "copy-real", [(copies, 1), (of_scope, -1)])
        for training_seed, sampling_seed, images in by_seed:
            seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
            of_seed = scope.of(images)
            comparing.add("feature_variance", "generated", [(of_seed, 1)], **seeds)
            comparing.add(
                "variance_difference", "generated-real", [(of_seed, 1), (of_scope, -1)], **seeds
            )
    return rows


def _comparing(
    scope: Scope,
    common: Mapping[str, Any],
    rows: Rows,
    real: FeatureSet,
    training: FeatureSet | None,
    by_seed: Sequence[tuple[int | None, int | None, FeatureSet]],
) -> _Comparing:
    sides = [real, *(scope.of(images) for *_, images in by_seed)]
    if training is not None:
        sides.append(training)
    known = [_enough(images, _MINIMUM) for images in sides]
    conditions = sorted(set.intersection(*known))
    reason = ""
    if not conditions:
        reason = f"no condition has {_MINIMUM} images on every side"
    return _Comparing({**common, **scope.columns}, conditions, reason, rows)


MEASURE = Measure("variance", variance_rows, every_view=True)
