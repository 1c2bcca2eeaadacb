"""Rows of all comparisons of one distance on one scope, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.floor import (
    Averaged,
    Ratio,
    SplitHalf,
    draw_matched,
    from_several_wells,
    interval_between_wells,
    measure_against_halves,
    measure_floor,
)
from morphpipe.evaluation.core.scopes import Scope
from morphpipe.evaluation.core.statistics import LEVEL, Interval, Statistic
from morphpipe.evaluation.distances.measures import DistanceMeasure
from morphpipe.tables.metric_table import metric_row

_MANY = 5_000
# With at most this many wells per condition, intervals may be too narrow and say so
# (docs/metrics.md).
_FEW_WELLS = 3


@dataclass(frozen=True)
class GeneratedSet:
    """Generated images of one pair of seeds: all, and those of the scope."""

    training_seed: int | None
    sampling_seed: int | None
    everything: FeatureSet
    images: FeatureSet

    @property
    def seeds(self) -> dict[str, int | None]:
        """The columns training_seed and sampling_seed."""
        return {"training_seed": self.training_seed, "sampling_seed": self.sampling_seed}


@dataclass
class Scoring:
    """Shared state of the rows of one scope and measure.

    Attributes
    ----------
    scope, measure
        Scope and distance.
    real
        Real held-out images of the scope.
    drawn, reason
        Split halves of them, or the reason for having none.
    floor_repeats, minimum_images, seed
        See `morphpipe.evaluation.distances.rows.distance_rows`.
    common
        Columns that all rows share.
    suffix
        Suffix of every comparison's name.
    rows
        Rows added so far.
    """

    scope: Scope
    measure: DistanceMeasure
    real: FeatureSet
    drawn: list[SplitHalf]
    reason: str
    floor_repeats: int
    minimum_images: int
    seed: int
    common: dict[str, Any]
    suffix: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = len(self.drawn[0].first) if self.drawn else 0
        wells = pd.Series(self.real.groups).groupby(self.real.conditions).nunique()
        self.fewest_wells = int(wells.min()) if len(wells) else 0
        self.notes = {"split_halves": self.floor_repeats, "seed": self.seed}

    def add(
        self,
        metric: str,
        comparison: str,
        sizes: tuple[int, int],
        result: Statistic | Averaged | Ratio | str,
        left: FeatureSet | None,
        notes: Mapping[str, Any],
        seeds: Mapping[str, int | None] | None = None,
    ) -> None:
        """Add one row; `result` may be the reason for a missing value.

        `left` is None if real fields are on both sides.
        """
        interval: dict[str, float] = {}
        settings = dict(notes)
        if isinstance(result, str):
            settings = {"reason": result}
        elif from_several_wells(left, self.real):
            low, high = (
                result.interval(lambda difference: self._interval(difference, left))
                if isinstance(result, Ratio)
                else self._interval(result, left)
            )
            if self.measure.relative_name is not None:
                # A Fréchet distance is non-negative; clipping the interval at 0 keeps its coverage.
                low = max(low, 0.0)
            interval = {"ci_low": low}
            kind = "Fieller's" if isinstance(result, Ratio) else "linearised"
            settings |= {
                "interval": f"{kind}, wells within conditions as units",
                "level": LEVEL,
            }
            if self.fewest_wells <= _FEW_WELLS:
                settings["interval"] += (
                    f"; with {self.fewest_wells} wells in a condition it may be too narrow"
                )
            if np.isfinite(high):
                interval["ci_high"] = high
            else:
                settings["interval"] += (
                    "; no upper limit, as the floor is not distinguishable from 0"
                )
        else:
            settings["interval"] = "none: a set is from a single well"
        if self.scope.group is not None:
            settings["perturbations"] = list(self.scope.group.perturbations)
        self.rows.append(
            metric_row(
                **self.common,
                **self.scope.columns,
                **(seeds or {}),
                **interval,
                metric=metric,
                comparison=comparison + self.suffix,
                n_left=sizes[0],
                n_right=sizes[1],
                value=None if isinstance(result, str) else result.value,
                settings=settings,
            )
        )

    def _interval(self, result: Statistic | Averaged, left: FeatureSet | None) -> Interval:
        return interval_between_wells(result, left, self.real)

    def add_floor(self) -> Averaged | None:
        """Add the floor."""
        sizes = (self.size, self.size)
        if not self.drawn:
            self.add(self.measure.name, "real-real", sizes, self.reason, None, {})
            return None
        floor, notes = measure_floor(self.measure, self.real, self.drawn)
        self.add(
            self.measure.name,
            "real-real",
            sizes,
            floor,
            None,
            notes | self.notes,
        )
        return floor

    def add_against_halves(
        self,
        comparison: str,
        candidates: FeatureSet,
        match: str | None,
        seeds: Mapping[str, int | None] | None = None,
        further_notes: Mapping[str, int] | None = None,
    ) -> Averaged | None:
        """Add the distance of `candidates` to the halves of the floor."""
        sizes = (min(len(candidates), self.size), self.size)
        reason = self.reason
        if self.drawn and len(candidates) < self.size:
            reason = f"{len(candidates)} images where the floor has {self.size}"
        if reason:
            self.add(self.measure.name, comparison, sizes, reason, None, {}, seeds)
            return None
        result, notes = measure_against_halves(
            self.measure, candidates, self.real, self.drawn, match=match, seed=self.seed
        )
        notes |= self.notes | dict(further_notes or {})
        self.add(self.measure.name, comparison, sizes, result, candidates, notes, seeds)
        return result

    def add_all_images(self, generated: GeneratedSet) -> None:
        """Add all generated images against all real ones."""
        images = generated.images
        sizes = (len(images), len(self.real))
        name, seeds, comparison = self.measure.name, generated.seeds, "generated-real"
        minimum = self.minimum_images
        if min(sizes) < minimum:
            reason = (
                f"{sizes[0]} generated and {sizes[1]} real images, fewer than the minimum "
                f"of {minimum}"
            )
            self.add(name, comparison, sizes, reason, None, {}, seeds)
            return
        result, notes = self.measure.measure(
            images.features, self.real.features, (images.conditions, self.real.conditions)
        )
        self.add(name, comparison, sizes, result, images, notes, seeds)

    def add_real_mix(self, generated: GeneratedSet, share_of_real: float) -> None:
        """Add generated images drawn with the real mix of conditions (table 3).

        `share_of_real` is the fraction of real images of this scope whose perturbation was
        generated.
        """
        images, name = generated.images, self.measure.name
        size = min(len(images), len(self.real))
        sizes, comparison = (size, size), "generated-real@real-mix"
        if size < self.minimum_images:
            reason = f"{size} images, fewer than the minimum of {self.minimum_images}"
            self.add(name, comparison, sizes, reason, None, {}, generated.seeds)
            return
        generator = np.random.default_rng(self.seed)
        pool, target = images.conditions, self.real.conditions
        # With many images, draws differ little and take long.
        repeats = self.floor_repeats if size < _MANY else 1
        values = np.zeros(repeats)
        left, right = np.zeros((repeats, len(images))), np.zeros((repeats, len(self.real)))
        shares: list[float] = []
        notes: dict[str, Any] = {}
        for repeat in range(repeats):
            rows = np.sort(generator.permutation(len(self.real))[:size])
            chosen, share = draw_matched(pool, target[rows], generator)
            result, notes = self.measure.measure(
                images.features[chosen], self.real.features[rows], (pool[chosen], target[rows])
            )
            values[repeat] = result.value
            left[repeat, chosen], right[repeat, rows] = result.left, result.right
            shares.append(share)
        notes = notes | {
            "draws": repeats,
            "seed": self.seed,
            "share_matched": round(float(np.mean(shares)), 4),
            "share_of_real": round(share_of_real, 4),
        }
        averaged = Averaged(values, left, right)
        self.add(name, comparison, sizes, averaged, images, notes, generated.seeds)

    def add_generated(self, generated: GeneratedSet, floor: Averaged | None) -> None:
        """Add all rows of one pair of seeds."""
        self.add_all_images(generated)
        comparison, seeds = "generated-real@floor-n", generated.seeds
        distance = self.add_against_halves(comparison, generated.images, "condition", seeds)
        if not self.scope.is_everything:
            pool, match = self.scope.shuffled(generated.everything)
            self.add_against_halves("shuffled-real", pool, match, seeds)
        if self.measure.relative_name is None:
            return
        sizes = (self.size, self.size)
        if distance is None or floor is None or floor.value <= 0:
            reason = self.reason or "the floor is zero"
            self.add(self.measure.relative_name, comparison, sizes, reason, None, {}, seeds)
            return
        ratio = Ratio(distance, floor)
        notes = self.notes | {"floor": floor.value}
        self.add(
            self.measure.relative_name, comparison, sizes, ratio, generated.images, notes, seeds
        )
