"""Whether generated images are those of their own condition, apart from how real they look.

Per cell type, the images generated for each perturbation are compared with the real held-out images
of every perturbation by the energy distance (Székely and Rizzo 2013, J. Stat. Plan. Inference 143),
and the rank of their own perturbation is recorded. A generator that ignores its condition has ranks
by chance, however small its Fréchet distance is. Real halves and training images, ranked likewise,
say what is possible.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import checked_pair
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.floor import draw_split_halves
from morphpipe.evaluation.core.statistics import LEVEL, t_interval
from morphpipe.evaluation.core.subsample import thinned
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]

# Fewer images of a condition have no mean distance among themselves worth ranking.
_MINIMUM = 4


def energy_distance(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Energy distance between two samples, unbiased: 2 E|x - y| - E|x - x'| - E|y - y'|.

    Parameters
    ----------
    x, y
        [n, d] and [m, d], at least two rows each.

    Returns
    -------
    float
        0 on average for samples of one distribution, and then as often negative.

    Raises
    ------
    DataError
        If a value is not finite, a set has fewer than two rows, or the columns differ.
    """
    left, right = checked_pair(x, y, minimum=2)
    between = 2 * float(cdist(left, right).mean())
    return between - _within(left) - _within(right)


def _within(rows: npt.NDArray[np.float64]) -> float:
    """Mean distance between different rows."""
    number = len(rows)
    return float(cdist(rows, rows).sum()) / (number * (number - 1))


class _Known:
    """Real images of one cell type by perturbation, with what each needs once."""

    def __init__(self, images: FeatureSet, names: list[str], at_most: int, seed: int) -> None:
        self.names = names
        self.features = [
            _features(images.select(images.column("perturbation") == name), at_most, seed)
            for name in names
        ]
        self.within = [_within(features) for features in self.features]

    def distances(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Energy distances of a sample to all of them."""
        own = _within(features)
        between = [2 * float(cdist(features, known).mean()) for known in self.features]
        return np.array(between) - np.array(self.within) - own

    def place(self, features: npt.NDArray[np.float64], own: str) -> tuple[float, float, int]:
        """Distance of a sample to one of them, and its rank among how many.

        The rank is 1 for the nearest, the mean rank for ties.
        """
        distances = self.distances(features)
        mine = float(distances[self.names.index(own)])
        ties = float((distances == mine).sum()) - 1
        return mine, 1 + float((distances < mine).sum()) + ties / 2, len(self.names)

    def number(self, name: str) -> int:
        """Number of images of one of them."""
        return len(self.features[self.names.index(name)])


def _features(images: FeatureSet, at_most: int, seed: int) -> npt.NDArray[np.float64]:
    chosen = thinned(list(images.keys["field_id"]), np.zeros(len(images)), at_most, seed)
    return images.features[np.flatnonzero(chosen)].astype(np.float64)


def _enough(images: FeatureSet) -> set[str]:
    names, counts = np.unique(images.column("perturbation"), return_counts=True)
    return {str(name) for name in names[counts >= _MINIMUM] if name}


def condition_fidelity_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet | None = None,
    *,
    context: Mapping[str, Any],
    at_most: int,
    floor_repeats: int,
    seed: int,
) -> Rows:
    """Rank each condition's own real images by their energy distance to the generated ones.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real
        Real held-out images of any conditions.
    training
        Training images for the copy control; None omits it.
    context
        The columns dataset, experiment and generator.
    at_most
        Most images of a condition, drawn at random.
    floor_repeats
        Number of random split halves of the real wells.
    seed
        Seed of the draws.

    Returns
    -------
    list of dict
        Rows of the metric table for each cell type and perturbation: ``energy_distance`` to the own
        real images, ``own_rank`` and ``own_rank_percentile`` (0 for the first of all, 1 for the
        last, 0.5 by chance), with the comparisons ``generated-real``, ``copy-real`` (training
        images), ``untreated-real`` (held-out negative controls) and ``real-real`` (a half of the
        wells against the other half). Over all conditions the means, with a t-interval over
        conditions; of ``untreated-real`` over those that are no controls.

    Raises
    ------
    DataError
        If the sets are inconsistent.
    """
    check_sides(generated, real, training)
    if len(real) == 0:
        raise DataError("condition fidelity needs at least one real held-out image")
    common = {**context, "extractor": generated.extractor, "view": generated.view}
    cell_types = sorted(set(generated.column("cell_type")) - {""})
    rows: Rows = []
    candidates: list[tuple[str, dict[str, int | None], FeatureSet]] = [
        ("generated-real", {"training_seed": t, "sampling_seed": s}, images)
        for t, s, images in generated.by_seed()
    ]
    if training is not None:
        candidates.append(("copy-real", {}, training))
    tables = {cell_type: _known(real, cell_type, at_most, seed) for cell_type in cell_types}
    for comparison, seeds, images in candidates:
        found = []
        for cell_type, known in tables.items():
            of_type = images.select(images.column("cell_type") == cell_type)
            enough = _enough(of_type)
            for name in [n for n in known.names if n in enough]:
                features = _features(
                    of_type.select(of_type.column("perturbation") == name), at_most, seed
                )
                found.append((cell_type, name, *known.place(features, name)))
                sizes = len(features), known.number(name)
                _add(rows, common, comparison, seeds, found[-1], sizes)
        _summarise(rows, common, comparison, seeds, found)
    _add_untreated(rows, common, real, tables, at_most, seed)
    _add_floor(rows, common, real, cell_types, at_most, floor_repeats, seed)
    return rows


def _known(real: FeatureSet, cell_type: str, at_most: int, seed: int) -> _Known:
    of_type = real.select(real.column("cell_type") == cell_type)
    return _Known(of_type, sorted(_enough(of_type)), at_most, seed)


def _add_untreated(
    rows: Rows,
    common: Mapping[str, Any],
    real: FeatureSet,
    tables: Mapping[str, _Known],
    at_most: int,
    seed: int,
) -> None:
    """Rank the real held-out controls as if they had been generated for each treatment."""
    found = []
    for cell_type, known in tables.items():
        controls = real.select(
            (real.column("cell_type") == cell_type) & (real.column("control") == "negative")
        )
        names = set(controls.column("perturbation"))
        if len(controls) < _MINIMUM:
            continue
        features = _features(controls, at_most, seed)
        for name in [n for n in known.names if n not in names]:
            found.append((cell_type, name, *known.place(features, name)))
            sizes = len(features), known.number(name)
            _add(rows, common, "untreated-real", {}, found[-1], sizes)
    if found:
        _summarise(rows, common, "untreated-real", {}, found)


_Found = tuple[str, str, float, float, int]


def _numbers(found: _Found) -> dict[str, float]:
    _, _, distance, rank, of = found
    numbers = {"energy_distance": float(distance), "own_rank": rank}
    if of > 1:
        numbers["own_rank_percentile"] = (rank - 1) / (of - 1)
    return numbers


def _add(
    rows: Rows,
    common: Mapping[str, Any],
    comparison: str,
    seeds: Mapping[str, int | None],
    found: _Found,
    sizes: tuple[int, int],
    **settings: Any,
) -> None:
    cell_type, perturbation, _, _, of = found
    for metric, value in _numbers(found).items():
        rows.append(
            metric_row(
                **common, **seeds, metric=metric, comparison=comparison, cell_type=cell_type,
                perturbation=perturbation, n_left=sizes[0], n_right=sizes[1], value=value,
                settings={"conditions": of, "interval": "none", **settings},
            )
        )  # fmt: skip


def _summarise(
    rows: Rows,
    common: Mapping[str, Any],
    comparison: str,
    seeds: Mapping[str, int | None],
    found: list[_Found],
    **settings: Any,
) -> None:
    """Add the means over all conditions, with intervals over them."""
    for metric in ("energy_distance", "own_rank_percentile"):
        numbers = [_numbers(one) for one in found]
        values = [one[metric] for one in numbers if metric in one]
        columns = {
            **common, **seeds, "metric": metric, "comparison": comparison, "cell_type": "all",
            "perturbation": "all",
        }  # fmt: skip
        if not values:
            reason = (
                f"no condition has {_MINIMUM} images on either side"
                if not found
                else "there is one condition, which has no rank"
            )
            rows.append(metric_row(**columns, settings={"reason": reason}))
            continue
        interval: dict[str, float] = {}
        about: dict[str, Any] = {"conditions": len(values), **settings}
        if len(values) > 1:
            _, (low, high) = t_interval(values)
            interval = {"ci_low": low, "ci_high": high}
            about |= {"interval": "Student's, conditions as units", "level": LEVEL}
        rows.append(metric_row(**columns, **interval, value=float(np.mean(values)), settings=about))


def _add_floor(
    rows: Rows,
    common: Mapping[str, Any],
    real: FeatureSet,
    cell_types: list[str],
    at_most: int,
    repeats: int,
    seed: int,
) -> None:
    """Rank one half of the real wells among the other half, the mean over random halves."""
    collected: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    sizes: dict[tuple[str, str], tuple[int, int]] = {}
    for cell_type in cell_types:
        of_type = real.select(real.column("cell_type") == cell_type)
        drawn, _ = draw_split_halves(
            of_type, repeats=repeats, at_most=len(of_type), minimum=2 * _MINIMUM, seed=seed
        )
        for halves in drawn:
            first, second = of_type.select(halves.first), of_type.select(halves.second)
            names = sorted(_enough(second))
            table = _Known(second, names, at_most, seed)
            for name in [n for n in names if n in _enough(first)]:
                features = _features(
                    first.select(first.column("perturbation") == name), at_most, seed
                )
                place = table.place(features, name)
                collected.setdefault((cell_type, name), []).append(place)
                sizes[cell_type, name] = len(features), table.number(name)
    found = []
    for (cell_type, name), values in collected.items():
        distance, rank, of = (float(np.mean(part)) for part in zip(*values, strict=True))
        found.append((cell_type, name, distance, rank, round(of)))
        size = sizes[cell_type, name]
        _add(rows, common, "real-real", {}, found[-1], size, split_halves=len(values), seed=seed)
    _summarise(rows, common, "real-real", {}, found, split_halves=repeats, seed=seed)


MEASURE = Measure("condition_fidelity", condition_fidelity_rows)
