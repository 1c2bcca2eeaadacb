"""Rows of treatment effects of real and generated images, their agreement and their floor."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy  # its parts load when used

from morphpipe.config.datasets import SETTINGS
from morphpipe.datasets.simulated import true_effect
from morphpipe.datasets.simulated.programmes import programmes
from morphpipe.datasets.splits.assign import halves
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.statistics import LEVEL, Interval, student_interval
from morphpipe.evaluation.effects.cate import cate, cate_unbiased
from morphpipe.evaluation.effects.perturbation_effects import (
    PerturbationEffect,
    perturbation_effects,
)
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

Effects = dict[str, dict[str, PerturbationEffect]]


class EffectRows:
    """Rows of one extractor and view.

    Attributes
    ----------
    rows
        Rows of the metric table.
    notes
        Settings shared by all rows.
    """

    def __init__(self, common: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.notes = dict(notes or {})
        self._common = dict(common)

    def add(
        self,
        metric: str,
        comparison: str,
        value: float | None,
        *,
        variance: float | None = None,
        freedom: int = 0,
        interval: Interval | None = None,
        notes: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Add one row, with a given interval or one from its sampling variance."""
        settings = self.notes | dict(notes or {})
        if value is not None and not np.isfinite(value):
            value, settings["reason"] = None, "a set is a single image, its noise is not known"
        if value is not None and variance is not None:
            interval = student_interval(value, variance, freedom)
            settings |= {"interval": "t, from the variance between wells", "level": LEVEL}
        ends: dict[str, float] = {}
        if value is not None and interval is not None:
            # A squared distance is non-negative; its unbiased estimate need not be.
            low = max(interval.low, 0.0) if metric == "cate" else interval.low
            ends = {"ci_low": low, "ci_high": interval.high}
        self.rows.append(
            metric_row(
                **self._common,
                **columns,
                **ends,
                metric=metric,
                comparison=comparison,
                value=value,
                settings=settings,
            )
        )

    def add_effects(self, comparison: str, effects: Effects, **seeds: int | None) -> None:
        """Add the papers' value and the unbiased value of each effect."""
        for cell_type, of_type in effects.items():
            for perturbation, effect in of_type.items():
                columns: dict[str, Any] = {
                    "cell_type": cell_type,
                    "perturbation": perturbation,
                    "n_left": effect.n_control,
                    "n_right": effect.n_treated,
                    **seeds,
                }
                for metric, value in (("cate", effect.biased), ("cate_unbiased", effect.unbiased)):
                    self.add(
                        metric,
                        comparison,
                        value,
                        variance=effect.variance,
                        freedom=effect.freedom,
                        notes={"units": effect.units},
                        **columns,
                    )

    def add_floor(self, real: FeatureSet, repeats: int, seed: int) -> None:
        """Add control against control: random halves of the control wells, per cell type."""
        control = real.select(real.column("control") == "negative")
        cell_types = control.column("cell_type")
        pooled: dict[str, list[float]] = {"cate": [], "cate_unbiased": []}
        for name in sorted(set(cell_types)):
            images = control.select(cell_types == name)
            columns: dict[str, Any] = {
                "cell_type": name,
                "perturbation": ", ".join(sorted(set(images.column("perturbation")))),
            }
            # With three wells one half is a single well, whose noise cannot be estimated.
            if len(np.unique(images.groups)) < 4:
                notes = {"reason": "the controls come from fewer than four wells"}
                for metric in pooled:
                    self.add(metric, "real-control-floor", None, notes=notes, **columns)
                continue
            values, sizes = _halved_control(images, [seed + repeat for repeat in range(repeats)])
            for metric, drawn in values.items():
                pooled[metric].append(float(np.mean(drawn)))
                self.add(
                    metric,
                    "real-control-floor",
                    pooled[metric][-1],
                    n_left=sizes[0],
                    n_right=sizes[1],
                    notes={
                        "split_halves": repeats,
                        "seed": seed,
                        "standard_deviation_over_split_halves": float(np.std(drawn)),
                    },
                    **columns,
                )
        for metric, means in pooled.items():
            if means:
                notes = {"units": f"mean over {len(means)} cell types"}
                value = float(np.mean(means))
                self.add(metric, "real-control-floor", value, cell_type="all", notes=notes)

    def add_differences(self, real: Effects, generated: Effects, **seeds: int | None) -> None:
        """Add the differences between generated and real effects."""
        for cell_type in [name for name in generated if name in real]:
            of_generated, of_real = generated[cell_type], real[cell_type]
            for perturbation in sorted(of_generated.keys() & of_real.keys()):
                left, right = of_generated[perturbation], of_real[perturbation]
                columns: dict[str, Any] = {
                    "cell_type": cell_type,
                    "perturbation": perturbation,
                    "n_left": left.n_treated,
                    "n_right": right.n_treated,
                    **seeds,
                }
                # MorphGen, table 4.
                delta = abs(left.biased - right.biased)
                self.add("delta_cate", "generated-real", delta, **columns)
                variance = None
                if left.variance is not None and right.variance is not None:
                    variance = left.variance + right.variance
                self.add(
                    "cate_difference",
                    "generated-real",
                    left.unbiased - right.unbiased,
                    variance=variance,
                    freedom=left.freedom + right.freedom,
                    notes={"of": "cate_unbiased, generated minus real"},
                    **columns,
                )

    def add_ranking(
        self,
        comparison: str,
        cell_type: str,
        left: Mapping[str, float],
        right: Mapping[str, float],
        **seeds: int | None,
    ) -> None:
        """Add Spearman's correlation of the unbiased effects over perturbations of both sides.

        The papers' values would favour perturbations with few images.
        """
        names = sorted(left.keys() & right.keys())
        names = [name for name in names if np.isfinite([left[name], right[name]]).all()]
        a, b = (np.array([of[name] for name in names]) for of in (left, right))
        columns: dict[str, Any] = {
            "cell_type": cell_type,
            "perturbation": "all",
            "n_left": len(names),
            "n_right": len(names),
            **seeds,
        }
        value: float | None = None
        notes: dict[str, Any] = {"of": "cate_unbiased, Spearman"}
        if len(names) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
            notes["reason"] = f"perturbations with effects to rank: {len(names)}, three are needed"
        else:
            value = float(scipy.stats.spearmanr(a, b).statistic)
            for side, effects in (("left", a), ("right", b)):
                notes[f"order_{side}"] = [names[i] for i in np.argsort(-effects, kind="stable")]
        self.add(
            "cate_rank_correlation",
            comparison,
            value,
            notes=notes,
            **columns,
        )


def _halved_control(
    images: FeatureSet, seeds: Sequence[int]
) -> tuple[dict[str, list[float]], tuple[int, int]]:
    wells = images.groups
    values: dict[str, list[float]] = {"cate": [], "cate_unbiased": []}
    sizes = (0, 0)
    for first in halves(images.keys, seeds, too_few="pool"):
        left, right = images.features[first], images.features[~first]
        values["cate"].append(cate(left, right))
        values["cate_unbiased"].append(
            cate_unbiased(left, right, control_groups=wells[first], treated_groups=wells[~first])
        )
        sizes = (len(left), len(right))
    return values, sizes


def sizes_of(effects: Mapping[str, PerturbationEffect]) -> dict[str, float]:
    """The unbiased size of each effect."""
    return {name: effect.unbiased for name, effect in effects.items()}


def treatment_effect_rows(
    generated: FeatureSet,
    real: FeatureSet,
    *,
    context: Mapping[str, Any],
    floor_repeats: int,
    seed: int,
    true_effects: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Measure the effect of each perturbation against the negative controls of its cell type.

    Parameters
    ----------
    generated
        Generated images with their negative controls; each pair of seeds is measured separately.
    real
        Real held-out images.
    floor_repeats
        Number of random split halves of the control wells.
    true_effects
        Known size of each perturbation's effect (simulated screens); only the order matters.

    Returns
    -------
    list of dict
        Rows of the metric table. ``cate`` and ``cate_unbiased`` with comparison ``real``,
        ``generated`` and ``real-control-floor``; ``delta_cate`` (MorphGen's table 4) and
        ``cate_difference`` (of the unbiased values, with interval); ``cate_rank_correlation`` with
        ``generated-real``, ``generated-true`` and ``real-true``. Cell type ``all`` is the mean over
        cell types. In ``cate``, n_left counts controls and n_right treated images; in the
        differences n_left counts generated and n_right real treated ones. Without negative controls
        the only rows are null ``cate`` and ``cate_unbiased`` with a reason.

    Raises
    ------
    DataError
        If the sets are inconsistent.
    """
    check_sides(generated, real)
    rows = EffectRows({**context, "extractor": real.extractor, "view": real.view})
    for images, comparison, kind in (
        (real, "real", "real held-out"),
        (generated, "generated", "generated"),
    ):
        if not (images.column("control") == "negative").any():
            notes = {
                "reason": f"there is no negative control among the {kind} images, which effects "
                "are measured against"
            }
            for metric in ("cate", "cate_unbiased"):
                rows.add(metric, comparison, None, notes=notes, cell_type="all")
    if rows.rows:
        return rows.rows
    of_real = perturbation_effects(real)
    rows.add_effects("real", of_real)
    rows.add_floor(real, floor_repeats, seed)
    if true_effects is not None:
        for cell_type, effects in of_real.items():
            rows.add_ranking("real-true", cell_type, sizes_of(effects), true_effects)
    for training_seed, sampling_seed, images in generated.by_seed():
        seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
        of_generated = perturbation_effects(images)
        rows.add_effects("generated", of_generated, **seeds)
        rows.add_differences(of_real, of_generated, **seeds)
        for cell_type, effects in of_generated.items():
            sizes = sizes_of(effects)
            if cell_type in of_real:
                real_sizes = sizes_of(of_real[cell_type])
                rows.add_ranking("generated-real", cell_type, sizes, real_sizes, **seeds)
            if true_effects is not None:
                rows.add_ranking("generated-true", cell_type, sizes, true_effects, **seeds)
    return rows.rows


def true_effects_of(images: FeatureSet) -> dict[str, float]:
    """Select true effects that can be ranked: the longest series of strengths, and no effect.

    `images` are from a simulated screen; the mean over their cell types is taken. Effects of
    different programmes change different parameters and have no known order.
    """
    pairs = images.keys[["cell_type", "perturbation"]].drop_duplicates()
    effects = {
        str(perturbation): float(
            np.mean([true_effect(str(perturbation), str(cell)) for cell in group["cell_type"]])
        )
        for perturbation, group in pairs.groupby("perturbation")
    }
    series = [programme.members for programme in programmes(effects) if programme.is_series]
    ranked = max(series, key=len, default=())
    return {name: size for name, size in effects.items() if name in ranked or size == 0}


def _measured(
    generated: FeatureSet, real: FeatureSet, _: FeatureSet, *, source: str, **settings: Any
) -> list[dict[str, Any]]:
    known = true_effects_of(generated) if SETTINGS[source].has_true_effects else None
    return treatment_effect_rows(generated, real, true_effects=known, **settings)


MEASURE = Measure("effects", _measured, every_view=True, needs=("source",))
