"""Rows of precision, recall, density and coverage, with their floor and controls.

All comparisons use the same halves of the real fields, with as many images on both sides, like the
floor in `morphpipe.evaluation.distances.rows`, since neighbours depend on the numbers of images.
Here the floor is an upper bound: of real images against real ones, precision and recall are below
1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.floor import (
    Averaged,
    SplitHalf,
    conditions_by,
    draw_matched,
    draw_split_halves,
    from_several_wells,
    interval_between_wells,
)
from morphpipe.evaluation.core.scopes import (
    Scope,
    of_generated_conditions,
    perturbation_groups,
    scopes,
)
from morphpipe.evaluation.core.statistics import LEVEL
from morphpipe.evaluation.coverage.manifold import MANIFOLD_METRICS, manifold_scores
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class _Comparing:
    real: FeatureSet
    drawn: list[SplitHalf]
    reason: str
    neighbours: int
    seed: int
    columns: Mapping[str, Any]

    @property
    def size(self) -> int:
        return len(self.drawn[0].first) if self.drawn else 0

    def floor(self) -> Rows:
        """Real halves against each other, in both directions."""
        if not self.drawn:
            return self._empty("real-real", self.reason)
        found = _Collected(len(self.drawn), 0, len(self.real))
        for repeat, split_half in enumerate(self.drawn):
            for one, other in (
                (split_half.first, split_half.second),
                (split_half.second, split_half.first),
            ):
                scores = manifold_scores(
                    self.real.features[one], self.real.features[other], self.neighbours
                )
                for name, score in scores.items():
                    found.values[name][repeat] += score.value / 2
                    found.right[name][repeat, one] += score.left / 2
                    found.right[name][repeat, other] += score.right / 2
        return self._rows("real-real", found, None, {})

    def against_halves(
        self,
        comparison: str,
        candidates: FeatureSet,
        match: str | None,
        seeds: Mapping[str, int | None],
        notes: Mapping[str, Any],
    ) -> Rows:
        """Equally many drawn candidates against each half."""
        reason = self.reason
        if self.drawn and len(candidates) < self.size:
            reason = f"{len(candidates)} images where the floor has {self.size}"
        if reason:
            return self._empty(comparison, reason, **seeds)
        generator = np.random.default_rng(self.seed)
        pool, target = conditions_by(candidates, match), conditions_by(self.real, match)
        found = _Collected(len(self.drawn), len(candidates), len(self.real))
        shares = []
        for repeat, split_half in enumerate(self.drawn):
            for half in (split_half.first, split_half.second):
                chosen, share = draw_matched(pool, target[half], generator)
                shares.append(share)
                scores = manifold_scores(
                    candidates.features[chosen],
                    self.real.features[half],
                    self.neighbours,
                )
                for name, score in scores.items():
                    found.values[name][repeat] += score.value / 2
                    found.left[name][repeat, chosen] += score.left / 2
                    found.right[name][repeat, half] += score.right / 2
        matched = {"share_matched": round(float(np.mean(shares)), 4), **notes}
        return self._rows(comparison, found, candidates, matched, **seeds)

    def _rows(
        self,
        comparison: str,
        found: "_Collected",
        left: FeatureSet | None,
        notes: Mapping[str, Any],
        **seeds: int | None,
    ) -> Rows:
        rows = []
        for name in MANIFOLD_METRICS:
            result = Averaged(found.values[name], found.left[name], found.right[name])
            settings: dict[str, Any] = {
                **notes,
                "k": self.neighbours,
                "split_halves": len(self.drawn),
                "seed": self.seed,
                "standard_deviation_over_split_halves": float(result.values.std()),
            }
            interval: dict[str, float] = {}
            if not from_several_wells(left, self.real):
                settings["interval"] = "none: a set is from a single well"
            elif not (result.left.any() or result.right.any()):
                settings["interval"] = "none: all images are alike in this"
            else:
                low, high = interval_between_wells(result, left, self.real)
                most = np.inf if name == "density" else 1.0
                interval = {"ci_low": max(low, 0.0), "ci_high": min(high, most)}
                settings |= {
                    "interval": "linearised, wells within conditions as units; the set whose "
                    "balls are looked into is taken as it is",
                    "level": LEVEL,
                }
            rows.append(
                metric_row(
                    **self.columns,
                    **seeds,
                    **interval,
                    metric=name,
                    comparison=comparison,
                    n_left=self.size,
                    n_right=self.size,
                    value=result.value,
                    settings=settings,
                )
            )
        return rows

    def _empty(self, comparison: str, reason: str, **seeds: int | None) -> Rows:
        return [
            metric_row(
                **self.columns,
                **seeds,
                metric=name,
                comparison=comparison,
                settings={"reason": reason, "k": self.neighbours},
            )
            for name in MANIFOLD_METRICS
        ]


class _Collected:
    def __init__(self, split_halves: int, left: int, right: int) -> None:
        self.values = {name: np.zeros(split_halves) for name in MANIFOLD_METRICS}
        self.left = {name: np.zeros((split_halves, left)) for name in MANIFOLD_METRICS}
        self.right = {name: np.zeros((split_halves, right)) for name in MANIFOLD_METRICS}


def manifold_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet | None = None,
    *,
    context: Mapping[str, Any],
    neighbours: int,
    at_most: int,
    floor_repeats: int,
    minimum_images: int,
    seed: int,
) -> Rows:
    """Measure manifolds overall and by cell type, perturbation, pair and group.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real
        Real held-out images.
    training
        Training images for the copy control; None omits it.
    neighbours
        k: balls reach to the k-th nearest neighbour. Naeem et al. (2020) recommend 5.
    at_most
        Maximum images per set; the time grows with its square.
    floor_repeats
        Number of random split halves to average over.
    minimum_images
        Minimum images per half; at least k + 1.

    Returns
    -------
    list of dict
        Rows of the metric table: ``precision``, ``recall``, ``density``, ``coverage`` with the
        comparisons ``generated-real``, ``real-real``, ``copy-real`` and ``shuffled-real``, all at
        the same numbers of images. Null with a reason if there are too few.

    Raises
    ------
    DataError
        If the sets come from different encoders or views, or have the wrong origin.
    """
    check_sides(generated, real, training)
    if len(real) == 0:
        raise DataError("manifolds need at least one real held-out image")
    groups = perturbation_groups(generated, real, training)
    real = of_generated_conditions(real, generated)
    training = None if training is None else of_generated_conditions(training, generated)
    common = {**context, "extractor": generated.extractor, "view": generated.view}
    by_seed = list(generated.by_seed())
    rows: Rows = []
    for scope in scopes(generated, groups):
        of_scope = scope.of(real)
        drawn, reason = draw_split_halves(
            of_scope,
            repeats=floor_repeats,
            at_most=min(at_most, *(len(scope.of(images)) for *_, images in by_seed)),
            minimum=max(minimum_images, neighbours + 1),
            seed=seed,
        )
        notes = _group_notes(scope)
        comparing = _Comparing(of_scope, drawn, reason, neighbours, seed, common | scope.columns)
        rows += comparing.floor()
        if training is not None:
            rows += comparing.against_halves(
                "copy-real", scope.of(training), "condition", {}, notes
            )
        for training_seed, sampling_seed, images in by_seed:
            seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
            rows += comparing.against_halves(
                "generated-real", scope.of(images), "condition", seeds, notes
            )
            if not scope.is_everything:
                pool, match = scope.shuffled(images)
                rows += comparing.against_halves("shuffled-real", pool, match, seeds, notes)
    return rows


def _group_notes(scope: Scope) -> dict[str, Any]:
    return {} if scope.group is None else {"perturbations": list(scope.group.perturbations)}


MEASURE = Measure("manifold", manifold_rows)
