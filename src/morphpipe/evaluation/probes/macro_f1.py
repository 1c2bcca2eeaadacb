"""Macro-F1 of a classification, with its interval over wells."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from morphpipe.evaluation.core.statistics import (
    LEVEL,
    InfluenceValues,
    Interval,
    group_index,
    influence_interval,
)
from morphpipe.tables.metric_table import metric_row


class MacroF1(NamedTuple):
    """Mean F1 over the classes of the images.

    Attributes
    ----------
    value
        In [0, 1].
    interval
        Linearised, wells as units and classes as strata; None with fewer than two wells or zero
        variance, e.g. if all predictions are correct.
    """

    value: float
    interval: Interval | None


def macro_f1(
    labels: npt.ArrayLike,
    predicted: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    *,
    level: float = LEVEL,
) -> MacroF1:
    """Score a classification by macro-F1.

    With true positives TP and numbers of predictions T and labels L of a class, F1 = 2 TP / (T +
    L); its derivative by the weight of an image is (2 [TP] - F1 ([T] + [L])) / (T + L), where
    brackets are 1 if the image counts there.

    Parameters
    ----------
    labels
        The class of each image, [n] of n > 0.
    predicted
        The predicted class of each.
    groups
        The well of each image; None for independent images.
    """
    of_image, taken = np.asarray(labels).astype(str), np.asarray(predicted).astype(str)
    classes = np.unique(of_image)
    is_label = of_image[:, None] == classes
    is_told = taken[:, None] == classes
    sizes = is_label.sum(axis=0) + is_told.sum(axis=0)
    scores = 2 * (is_label & is_told).sum(axis=0) / sizes
    slopes = (2 * (is_label & is_told) - scores * (1.0 * is_label + is_told)) / sizes
    contributions = slopes.mean(axis=1)
    value = float(scores.mean())
    wells = np.arange(len(of_image)) if groups is None else np.asarray(groups)
    if group_index(wells, len(of_image))[1] < 2 or not contributions.any():
        return MacroF1(value, None)
    low, high = influence_interval(
        value, [InfluenceValues(contributions, wells, of_image)], level=level
    )
    return MacroF1(value, Interval(max(low, 0.0), min(high, 1.0)))


def macro_f1_row(
    columns: Mapping[str, Any],
    notes: Mapping[str, Any],
    labels: npt.ArrayLike,
    predicted: npt.ArrayLike,
    groups: npt.ArrayLike | None,
) -> dict[str, Any]:
    """One row of the metric table, with the `columns` and `notes` of the classification."""
    value, interval = macro_f1(labels, predicted, groups)
    how = "none: a single well, or nothing varies"
    limits = {}
    if interval is not None:
        how = "linearised, wells within classes as units"
        limits = {"ci_low": interval.low, "ci_high": interval.high}
    settings = {**notes, "interval": how, "level": LEVEL}
    return metric_row(**columns, **limits, metric="macro_f1", value=value, settings=settings)
