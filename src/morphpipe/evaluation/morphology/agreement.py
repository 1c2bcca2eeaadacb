"""Rows on the agreement of feature correlations of real and generated fields.

Measured like the floor of a distance: real wells are halved at random, and each half is compared
with the other half (the level that real images reach) and with as many generated fields, so that
numbers of fields and noise are equal.
"""

from typing import Any

import numpy as np

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.floor import Averaged, Indices, draw_matched
from morphpipe.evaluation.morphology.correlation import linearised_agreement
from morphpipe.evaluation.morphology.intervals import drawn_split_halves, interval_columns
from morphpipe.evaluation.morphology.sets import MorphologySets

Rows = list[dict[str, Any]]
# Ranges of the two measures.
_RANGES = {"agreement": (-1.0, 1.0), "rms": (0.0, 2.0)}


def feature_correlation_rows(sets: MorphologySets) -> Rows:
    """Agreement of the correlation matrices of the PCA-selected features.

    Returns
    -------
    list of dict
        ``feature_correlation_agreement`` (Pearson's r between the entries above the diagonal) and
        ``feature_correlation_rms`` (of their differences), generated-real and real-real, with
        linearised intervals. If real fields cannot be halved, all are compared with all generated
        fields, and real-real is null.
    """
    real, generated = sets.real.images, sets.generated.images
    notes: dict[str, Any] = {"features": len(sets.top)}
    size = 0
    draws: dict[str, _Draws] = {
        "generated-real": _Draws(sets, generated),
        "real-real": _Draws(sets, None),
    }
    reasons: dict[str, str] = {}
    try:
        drawn = drawn_split_halves(sets)
    except DataError as error:
        drawn, reasons = [], {"real-real": str(error)}
    else:
        notes |= {"split_halves": len(drawn), "seed": sets.settings.seed}
        size = len(drawn[0].first)
    try:
        if not drawn:
            everything = np.arange(len(generated)), np.arange(len(real))
            draws["generated-real"].add([everything])
        generator = np.random.default_rng(sets.settings.seed)
        pool, target = generated.conditions, real.conditions
        for split_half in drawn:
            halves = (split_half.first, split_half.second)
            draws["real-real"].add([halves])
            draws["generated-real"].add(
                [(draw_matched(pool, target[half], generator)[0], half) for half in halves]
            )
    except DataError as error:
        draws = {name: _Draws(sets, one.left) for name, one in draws.items()}
        reasons = dict.fromkeys(draws, str(error))
    rows: Rows = []
    for comparison, found in draws.items():
        for metric in _RANGES:
            result = found.averaged(metric)
            settings = dict(notes)
            interval: dict[str, float] = {}
            if result is None:
                settings["reason"] = reasons[comparison]
            else:
                settings["standard_deviation_over_draws"] = float(np.std(found.single[metric]))
                interval = interval_columns(
                    sets, [(1.0, result, found.left, real)], settings, _RANGES[metric]
                )
            rows.append(
                sets.row(
                    f"feature_correlation_{metric}",
                    None if result is None else result.value,
                    comparison=comparison,
                    n_left=size or len(generated),
                    n_right=size or len(real),
                    settings=settings,
                    cell_type="all",
                    perturbation="all",
                    **interval,
                )
            )
    return rows


class _Draws:
    """Agreements over several draws, with the contribution of each field.

    Parameters
    ----------
    left
        The generated fields; None if real fields are on both sides.
    """

    def __init__(self, sets: MorphologySets, left: FeatureSet | None) -> None:
        self.left = left
        self._features = [
            side.features[:, sets.top] for side in (left or sets.real.images, sets.real.images)
        ]
        self._parts: dict[str, list[tuple[float, Any, Any]]] = {name: [] for name in _RANGES}
        self.single: dict[str, list[float]] = {name: [] for name in _RANGES}

    def add(self, pairs: list[tuple[Indices, Indices]]) -> None:
        """Add a draw: the mean over pairs of left and right positions."""
        sizes = [0 if self.left is None else len(self._features[0]), len(self._features[1])]
        totals: dict[str, list[Any]] = {
            name: [0.0, np.zeros(sizes[0]), np.zeros(sizes[1])] for name in _RANGES
        }
        for left, right in pairs:
            found = linearised_agreement(self._features[0][left], self._features[1][right])
            for (name, total), result in zip(totals.items(), found, strict=True):
                self.single[name].append(result.value)
                total[0] += result.value / len(pairs)
                total[2][right] += result.right / len(pairs)
                # All contributions of real fields are on the right.
                total[2 if self.left is None else 1][left] += result.left / len(pairs)
        for name, (value, of_left, of_right) in totals.items():
            self._parts[name].append((value, of_left, of_right))

    def averaged(self, metric: str) -> Averaged | None:
        if not self._parts[metric]:
            return None
        values, left, right = zip(*self._parts[metric], strict=True)
        return Averaged(np.array(values), np.array(left), np.array(right))
