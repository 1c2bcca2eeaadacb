"""Distances between real images of different perturbations (MorphGen, table 15).

They put the distance of a generated set into context: how far apart two perturbations are, and two
sets of the same one. All pairs are measured at the same number of images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, joined
from morphpipe.evaluation.core.floor import (
    Averaged,
    SplitHalf,
    draw_split_halves,
    from_several_wells,
    interval_between_wells,
)
from morphpipe.evaluation.core.scopes import compared_perturbations
from morphpipe.evaluation.core.statistics import LEVEL
from morphpipe.evaluation.distances.measures import DistanceMeasure, Frechet, Kernel
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class _Halved:
    images: FeatureSet
    drawn: list[SplitHalf]


def cross_perturbation_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    perturbation_sets: Mapping[str, Sequence[str]],
    **settings: Any,
) -> Rows:
    """Measure the distances between perturbations among all real images.

    No generator is judged here, so held-out and training images are pooled. `generated` selects the
    conditions if no perturbations are named; for the other settings see `between_perturbations`,
    for `perturbation_sets` see `morphpipe.evaluation.core.scopes.compared_perturbations`.
    """
    new = ~training.keys["field_id"].isin(real.keys["field_id"]).to_numpy(bool)
    everything = joined(real, training.select(new))
    perturbations = compared_perturbations(perturbation_sets, generated, everything)
    return between_perturbations(everything, perturbations, **settings)


def between_perturbations(
    real: FeatureSet,
    perturbations: Sequence[str],
    *,
    context: Mapping[str, Any],
    subset_size: int,
    subsets: int,
    floor_repeats: int,
    minimum_images: int,
    seed: int,
) -> Rows:
    """Measure the distance between the real images of every pair of perturbations.

    Parameters
    ----------
    real
        Real images.
    perturbations
        Perturbations to compare; fewer than two give null rows.
    subset_size, subsets
        Settings of the kernel distance.
    floor_repeats
        Number of random split halves of each perturbation's wells.
    minimum_images
        Minimum images per set.

    Returns
    -------
    list of dict
        Rows of the metric table with the comparison ``real-real``, per cell type and over all: half
        of the wells of ``perturbation`` against half of those of ``other`` (in the settings),
        averaged over split halves; for the same perturbation, its two halves. Each pair is listed
        in both orders. Perturbations with too few images have null values.

    Raises
    ------
    DataError
        If images are generated.
    """
    if real.is_generated:
        raise DataError("generated images were given instead of real ones")
    names = list(dict.fromkeys(perturbations))
    measures: list[DistanceMeasure] = [
        Frechet(real.extractor),
        Kernel(real.extractor, subset_size, subsets, seed),
    ]
    common = {**context, "extractor": real.extractor, "view": real.view}
    if len(names) < 2:
        reason = "a comparison of perturbations needs at least two of them"
        return [
            metric_row(
                **common, metric=measure.name, comparison="real-real", settings={"reason": reason}
            )
            for measure in measures
        ]
    cell_types = sorted(set(real.column("cell_type")) - {""})
    rows: Rows = []
    for cell_type in cell_types + (["all"] if len(cell_types) > 1 else []):
        of_type = real if cell_type == "all" else real.select(real.column("cell_type") == cell_type)
        halved: dict[str, _Halved] = {}
        for name in names:
            images = of_type.select(of_type.column("perturbation") == name)
            drawn, reason = draw_split_halves(
                images,
                repeats=floor_repeats,
                at_most=len(images),
                minimum=minimum_images,
                seed=seed,
            )
            if drawn:
                halved[name] = _Halved(images, drawn)
                continue
            rows += [
                metric_row(
                    **common,
                    metric=measure.name,
                    comparison="real-real",
                    cell_type=cell_type,
                    perturbation=name,
                    settings={"other": name, "reason": reason},
                )
                for measure in measures
            ]
        columns = {**common, "comparison": "real-real", "cell_type": cell_type}
        for measure in measures:
            rows += _pairs(measure, halved, columns, {"split_halves": floor_repeats, "seed": seed})
    return rows


def _pairs(
    measure: DistanceMeasure,
    halved: Mapping[str, _Halved],
    columns: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> Rows:
    """Measure all pairs of one cell type at the same number of images."""
    rows: Rows = []
    names = list(halved)
    size = min((len(of.drawn[0].first) for of in halved.values()), default=0)
    for place, name in enumerate(names):
        for other in names[place:]:
            left, right = halved[name], halved[other]
            result, notes = _measure(measure, left, right, size, same=name == other)
            interval: dict[str, float] = {}
            notes |= sizes
            if from_several_wells(left.images, right.images):
                low, high = interval_between_wells(
                    result, None if name == other else left.images, right.images
                )
                interval = {"ci_low": low, "ci_high": high}
                if measure.relative_name is not None:
                    interval["ci_low"] = max(low, 0.0)
                notes |= {
                    "interval": "linearised, wells within conditions as units",
                    "level": LEVEL,
                }
            for one, another in dict.fromkeys([(name, other), (other, name)]):
                rows.append(
                    metric_row(
                        **columns,
                        **interval,
                        metric=measure.name,
                        perturbation=one,
                        n_left=size,
                        n_right=size,
                        value=result.value,
                        settings=notes | {"other": another},
                    )
                )
    return rows


def _measure(
    measure: DistanceMeasure, left: _Halved, right: _Halved, size: int, *, same: bool
) -> tuple[Averaged, dict[str, Any]]:
    """Average one pair over split halves; for one perturbation all images are on the right."""
    repeats = len(left.drawn)
    values = np.zeros(repeats)
    of_left = np.zeros((repeats, 0 if same else len(left.images)))
    of_right = np.zeros((repeats, len(right.images)))
    notes: dict[str, Any] = {}
    for repeat, (one, other) in enumerate(zip(left.drawn, right.drawn, strict=True)):
        first, second = one.first[:size], (other.second if same else other.first)[:size]
        result, notes = measure.measure(
            left.images.features[first],
            right.images.features[second],
            (left.images.conditions[first], right.images.conditions[second]),
        )
        values[repeat] = result.value
        if same:
            of_right[repeat, first] = result.left
        else:
            of_left[repeat, first] = result.left
        of_right[repeat, second] = result.right
    # Scatter of a single split half, i.e. of repetitions of the paper's measurement.
    notes = notes | {"standard_deviation_over_split_halves": float(values.std())}
    return Averaged(values, of_left, of_right), notes


MEASURE = Measure("cross_perturbation", cross_perturbation_rows)
