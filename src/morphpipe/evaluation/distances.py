"""Distances between generated and real images, with floor, controls and intervals.

Comparisons in the table:

- ``generated-real``: all generated images against all real ones of the same conditions.
- ``real-real``: the floor, see `morphpipe.evaluation.floor`.
- ``generated-real@floor-n``, ``copy-real``, ``shuffled-real``: against the same halves as the
  floor, with as many images: generated ones, training images replayed, and generated ones of
  other conditions (other perturbations of the same cell types; for a cell type, other cell
  types). A model that ignores its condition does not beat ``shuffled-real``.

Beside single conditions, perturbations are measured in groups: those of a mechanism, and those
that training has seen or has not (`morphpipe.evaluation.scopes.perturbation_groups`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from morphpipe.errors import DataError
from morphpipe.evaluation.distance_measures import DistanceMeasure, Frechet, Kernel
from morphpipe.evaluation.feature_set import FeatureSet, check_comparable
from morphpipe.evaluation.floor import (
    Averaged,
    Halving,
    Ratio,
    halvings,
    measure_against_halves,
    measure_floor,
)
from morphpipe.evaluation.metric_table import metric_row
from morphpipe.evaluation.scopes import (
    Scope,
    of_generated_conditions,
    perturbation_groups,
    scopes,
)
from morphpipe.evaluation.statistics import (
    Contributions,
    Interval,
    Linearised,
    linearised_interval,
)


@dataclass(frozen=True)
class DistanceSettings:
    """How distances are measured.

    Attributes
    ----------
    kernel_subset_size, kernel_subsets
        Of the kernel distance.
    floor_repeats
        Random halvings over which the floor and the controls are averaged.
    minimum_fields
        Fewest images of a set; 16 is the smallest that MorphGen reports (table 10).
    seed
        Seed of halvings and draws, and of the kernel's subsets (torch-fidelity's default 2020).
    level
        Confidence level.
    """

    kernel_subset_size: int = 100
    kernel_subsets: int = 100
    floor_repeats: int = 10
    minimum_fields: int = 16
    seed: int = 2020
    level: float = 0.95


@dataclass(frozen=True)
class _Generated:
    """Generated images of one pair of seeds: all of them, and those of the scope."""

    training_seed: int | None
    sampling_seed: int | None
    everything: FeatureSet
    images: FeatureSet

    @property
    def seeds(self) -> dict[str, int | None]:
        return {"training_seed": self.training_seed, "sampling_seed": self.sampling_seed}


@dataclass
class _Scoring:
    """Everything that the rows of one scope and one measure share."""

    scope: Scope
    measure: DistanceMeasure
    real: FeatureSet
    drawn: list[Halving]
    reason: str
    settings: DistanceSettings
    common: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = len(self.drawn[0].first) if self.drawn else 0
        self.notes = {"halvings": self.settings.floor_repeats, "seed": self.settings.seed}

    def add(
        self,
        metric: str,
        comparison: str,
        sizes: tuple[int, int],
        result: Linearised | Averaged | Ratio | str,
        left: FeatureSet | None,
        notes: Mapping[str, Any],
        seeds: Mapping[str, int | None] | None = None,
    ) -> None:
        """Add one row; in place of a result may stand the reason why there is none.

        Uncertainty lies between wells of a condition, the mix of conditions was chosen. `left` is
        None where real fields are on both sides.
        """
        interval: dict[str, float] = {}
        settings = dict(notes)
        if isinstance(result, str):
            settings = {"reason": result}
        elif all(len(np.unique(images.groups)) >= 2 for images in (left or self.real, self.real)):
            low, high = (
                result.interval(lambda difference: self._interval(difference, left))
                if isinstance(result, Ratio)
                else self._interval(result, left)
            )
            if self.measure.relative_name is not None:
                # A Fréchet distance cannot be negative; cutting the interval at 0 takes nothing
                # from its coverage.
                low = max(low, 0.0)
            interval = {"ci_low": low}
            kind = "Fieller's" if isinstance(result, Ratio) else "linearised"
            settings |= {
                "interval": f"{kind}, wells within conditions as units",
                "level": self.settings.level,
            }
            if np.isfinite(high):
                interval["ci_high"] = high
            else:
                settings["interval"] += "; without an upper end: the floor is not told from 0"
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
                comparison=comparison,
                n_left=sizes[0],
                n_right=sizes[1],
                value=None if isinstance(result, str) else result.value,
                settings=settings,
            )
        )

    def _interval(self, result: Linearised | Averaged, left: FeatureSet | None) -> Interval:
        """The linearised interval of a distance, or of a difference of distances."""
        contributions = [Contributions(result.right, self.real.groups, self.real.conditions)]
        if left is not None:
            contributions.append(Contributions(result.left, left.groups, left.conditions))
        return linearised_interval(
            result.value,
            contributions,
            draw_variance=result.draw_variance if isinstance(result, Averaged) else 0.0,
            level=self.settings.level,
        )

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
        """Add what `candidates` are away from the halves of the floor."""
        sizes = (min(len(candidates), self.size), self.size)
        reason = self.reason
        if self.drawn and len(candidates) < self.size:
            reason = f"{len(candidates)} images where the floor has {self.size}"
        if reason:
            self.add(self.measure.name, comparison, sizes, reason, None, {}, seeds)
            return None
        result, notes = measure_against_halves(
            self.measure, candidates, self.real, self.drawn, match=match, seed=self.settings.seed
        )
        notes |= self.notes | dict(further_notes or {})
        self.add(self.measure.name, comparison, sizes, result, candidates, notes, seeds)
        return result

    def add_all_images(self, generated: _Generated) -> None:
        """Add all generated images against all real ones."""
        images = generated.images
        sizes = (len(images), len(self.real))
        name, seeds, comparison = self.measure.name, generated.seeds, "generated-real"
        minimum = self.settings.minimum_fields
        if min(sizes) < minimum:
            reason = (
                f"{sizes[0]} generated and {sizes[1]} real images, fewer than the minimum "
                f"of {minimum}"
            )
            self.add(name, comparison, sizes, reason, None, {}, seeds)
            return
        result, notes = self.measure.measure(images.features, self.real.features)
        self.add(name, comparison, sizes, result, images, notes, seeds)

    def add_generated(self, generated: _Generated, floor: Averaged | None) -> None:
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


def _draw_halvings(
    real: FeatureSet, at_most: int, settings: DistanceSettings
) -> tuple[list[Halving], str]:
    """Draw halvings of the real fields, or give the reason why there are none."""
    if len(np.unique(real.groups)) < 2:
        return [], "the real fields come from fewer than two wells"
    drawn = halvings(real, repeats=settings.floor_repeats, at_most=at_most, seed=settings.seed)
    size = len(drawn[0].first)
    if size < settings.minimum_fields:
        return [], f"halves of {size} images, fewer than the minimum of {settings.minimum_fields}"
    return drawn, ""


def distance_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet | None = None,
    *,
    context: Mapping[str, Any],
    settings: DistanceSettings | None = None,
) -> list[dict[str, Any]]:
    """Measure Fréchet and kernel distances overall, by cell type, perturbation, pair and group.

    Parameters
    ----------
    generated
        Generated images; each pair of training seed and sampling seed is measured on its own.
    real
        Real held-out images. Those of conditions that were not generated are left out.
    training
        Real images the generator was trained on, of whatever conditions: for the copy control,
        and for what is in and out of distribution; None leaves both out.
    context
        The columns dataset, experiment and generator.
    settings
        See `DistanceSettings`.

    Returns
    -------
    list of dict
        Rows of the metric table: FID and KID on Inception features, ``frechet_distance`` and
        ``kernel_distance`` on any others, ``relative_FID`` or ``relative_frechet_distance``. What
        has too few images is there with a null value and the reason. Rows of groups name their
        perturbations in the settings.

    Raises
    ------
    DataError
        If the sets come from different encoders or views, or are generated where they should be
        real.
    """
    settings = settings or DistanceSettings()
    for images in [real] if training is None else [real, training]:
        check_comparable(generated, images)
        if images.is_generated:
            raise DataError("generated images were given where real ones belong")
    if not generated.is_generated or len(real) == 0:
        raise DataError("distances need at least one generated and one real held-out image")
    groups = perturbation_groups(generated, real, training)
    real = of_generated_conditions(real, generated)
    training = None if training is None else of_generated_conditions(training, generated)
    name = generated.extractor
    measures: list[DistanceMeasure] = [
        Frechet(name),
        Kernel(name, settings.kernel_subset_size, settings.kernel_subsets, settings.seed),
    ]
    common = {**context, "extractor": name, "view": generated.view}
    rows: list[dict[str, Any]] = []
    for scope in scopes(generated, groups):
        of_scope = scope.of(real)
        by_seed = [
            _Generated(training_seed, sampling_seed, images, scope.of(images))
            for training_seed, sampling_seed, images in generated.by_seed()
        ]
        # One floor serves all seeds: halves no larger than the fewest generated images of a seed.
        fewest = min(len(one.images) for one in by_seed)
        drawn, reason = _draw_halvings(of_scope, fewest, settings)
        for measure in measures:
            scoring = _Scoring(scope, measure, of_scope, drawn, reason, settings, common)
            floor = scoring.add_floor()
            if training is not None:
                copies = scope.of(training)
                # On data too small to be split a copy is measured against itself: say so.
                both = set(copies.keys["field_id"]) & set(of_scope.keys["field_id"])
                scoring.add_against_halves(
                    "copy-real",
                    copies,
                    "condition",
                    further_notes={"fields_in_both": len(both)} if both else None,
                )
            for one in by_seed:
                scoring.add_generated(one, floor)
            rows += scoring.rows
    return rows
