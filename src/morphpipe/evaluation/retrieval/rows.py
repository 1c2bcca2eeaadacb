"""Retrieval of real profiles by generated ones, with an upper bound and chance.

The real wells are halved at random. Wells of one half as queries for the other give the upper
bound; generated profiles, of as many images as a well, are queries for the same halves; generated
profiles with shuffled labels give the lower bound.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.datasets.splits.assign import halves
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.scopes import MECHANISM, of_generated_conditions
from morphpipe.evaluation.core.statistics import (
    LEVEL,
    Array,
    InfluenceValues,
    influence_interval,
)
from morphpipe.evaluation.registry import Measure
from morphpipe.evaluation.retrieval.profiles import (
    ProfileSet,
    average_precisions,
    generated_profiles,
    normalised,
    well_profiles,
)
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]
RETRIEVAL_TASKS = ("perturbation", "moa")


@dataclass(frozen=True)
class _Found:
    """Queries with their average precision, averaged over halves of the candidates."""

    queries: ProfileSet
    values: Array
    chance: Array


def retrieval_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet | None = None,
    *,
    context: Mapping[str, Any],
    floor_repeats: int,
    seed: int,
) -> Rows:
    """Measure how well generated profiles retrieve their perturbation or mechanism.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real
        Real held-out images.
    training
        Training images, as a further source of mechanisms; None if there are none.
    floor_repeats
        Number of random split halves of the real wells.

    Returns
    -------
    list of dict
        Rows ``mean_average_precision`` with task ``perturbation`` or ``moa`` and the comparisons
        ``generated-real``, ``real-real`` and ``shuffled-real``: over all conditions, by cell type,
        perturbation, and both; mechanisms over all and as groups. The mean is over profiles of a
        condition, then over conditions. Negative controls are not queried if profiles are centred
        on them.

    Raises
    ------
    DataError
        If the sets are inconsistent.
    """
    check_sides(generated, real)
    common = {**context, "extractor": real.extractor, "view": real.view}
    mechanisms = _mechanisms(real, training)
    real = of_generated_conditions(real, generated)
    if not len(real):
        return _nothing(common, "there is no real held-out image of the generated conditions")
    images, by_controls = normalised(real)
    notes: dict[str, Any] = {
        "normalised_on": "negative controls" if by_controls else "all images, where no controls",
        "split_halves": floor_repeats,
        "seed": seed,
    }
    if not len(images) or len(np.unique(images.groups)) < 2:
        return _nothing(common, "the treated real fields come from fewer than two wells")
    wells = well_profiles(images, mechanisms)
    per_well = max(1, round(float(np.median(np.bincount(images.groups)))))
    most = int(np.unique(_conditions(wells), return_counts=True)[1].max())
    sides = _sides(images, [seed + repeat for repeat in range(floor_repeats)])
    rows: Rows = []
    for task in RETRIEVAL_TASKS:
        columns = {**common, "task": task, "metric": "mean_average_precision"}
        settings = notes | {"fields_per_profile": per_well}
        found = _among_wells(wells, sides, task)
        rows += _rows(found, {**columns, "comparison": "real-real"}, settings)
        for training_seed, sampling_seed, of_seed in generated.by_seed():
            treated, _ = normalised(of_seed)
            queries = generated_profiles(
                treated, mechanisms, size=per_well, at_most=most, seed=seed
            )
            seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
            shuffled = _shuffled(queries, seed)
            for comparison, of in (("generated-real", queries), ("shuffled-real", shuffled)):
                found = _against_halves(of, wells, sides, task)
                rows += _rows(found, {**columns, **seeds, "comparison": comparison}, settings)
    return rows


def _nothing(common: Mapping[str, Any], reason: str) -> Rows:
    return [
        metric_row(
            **common,
            metric="mean_average_precision",
            comparison="generated-real",
            task=task,
            settings={"reason": reason},
        )
        for task in RETRIEVAL_TASKS
    ]


def _mechanisms(*sets: FeatureSet | None) -> dict[str, str]:
    named: dict[str, set[str]] = {}
    for images in sets:
        if images is not None:
            pairs = set(zip(images.column("perturbation"), images.column("moa"), strict=True))
            for name, moa in pairs:
                if name and moa:
                    named.setdefault(name, set()).add(moa)
    return {name: " / ".join(sorted(found)) for name, found in named.items()}


def _conditions(profiles: ProfileSet) -> npt.NDArray[Any]:
    pairs = zip(profiles.cell_types, profiles.perturbations, strict=True)
    return np.array(["\x1f".join(pair) for pair in pairs], dtype=object)


def _sides(images: FeatureSet, seeds: Sequence[int]) -> list[npt.NDArray[np.bool_]]:
    """For each split, whether a well (in the order of `well_profiles`) is in the first half."""
    _, first = np.unique(images.groups, return_index=True)
    return [side[first] for side in halves(images.keys, seeds, too_few="pool")]


def _mean(found: list[tuple[Array, Array]], queries: ProfileSet) -> _Found:
    """Mean over lists of candidates that contain a relevant one."""
    with warnings.catch_warnings():
        # A query without any relevant candidate stays NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        values, chance = (np.nanmean([part[place] for part in found], axis=0) for place in (0, 1))
    return _Found(queries, values, chance)


def _among_wells(wells: ProfileSet, sides: list[npt.NDArray[np.bool_]], task: str) -> _Found:
    """Query the other half with every well."""
    found = []
    for first in sides:
        values, chance = np.full(len(wells), np.nan), np.full(len(wells), np.nan)
        for half in (first, ~first):
            values[half], chance[half] = average_precisions(
                wells.select(half), wells.select(~half), task
            )
        found.append((values, chance))
    return _mean(found, wells)


def _against_halves(
    queries: ProfileSet, wells: ProfileSet, sides: list[npt.NDArray[np.bool_]], task: str
) -> _Found:
    found = [
        average_precisions(queries, wells.select(half), task)
        for first in sides
        for half in (first, ~first)
    ]
    return _mean(found, queries)


def _shuffled(queries: ProfileSet, seed: int) -> ProfileSet:
    generator = np.random.default_rng(seed)
    order = np.arange(len(queries))
    for name in sorted(set(queries.cell_types)):
        rows = np.flatnonzero(queries.cell_types == name)
        order[rows] = generator.permutation(rows)
    return replace(
        queries,
        perturbations=queries.perturbations[order],
        mechanisms=queries.mechanisms[order],
    )


def _rows(found: _Found, columns: Mapping[str, Any], notes: Mapping[str, Any]) -> Rows:
    known = np.isfinite(found.values)
    if not known.any():
        reason = (
            "no perturbation shares its mechanism with another one, or all share the same"
            if columns["task"] == "moa"
            else "no condition has wells in both halves, or there is one perturbation only"
        )
        return [
            metric_row(**columns, cell_type="all", perturbation="all", settings={"reason": reason})
        ]
    queries = found.queries.select(known)
    rows: Rows = []
    for scope, mask in _scopes(queries, columns["task"]):
        values, chance = found.values[known][mask], found.chance[known][mask]
        conditions = _conditions(queries.select(mask))
        value, contributions = _mean_of_means(values, conditions)
        interval: dict[str, float] = {}
        settings = {**notes, "profiles": len(values)}
        settings["chance"] = _mean_of_means(chance, conditions)[0]
        if len(values) >= 2:
            low, high = influence_interval(
                value, [InfluenceValues(contributions, None, conditions)]
            )
            interval = {"ci_low": max(low, 0.0), "ci_high": min(high, 1.0)}
            settings |= {
                "interval": "linearised, with query profiles as units; candidates are fixed",
                "level": LEVEL,
            }
        rows.append(
            metric_row(
                **{**columns, **scope},
                **interval,
                value=value,
                n_left=len(values),
                settings=settings,
            )
        )
    return rows


def _mean_of_means(values: Array, conditions: npt.NDArray[Any]) -> tuple[float, Array]:
    """Mean over conditions of their means, and the contribution of each value."""
    _, index = np.unique(conditions.astype(str), return_inverse=True)
    counts = np.bincount(index)
    means = np.bincount(index, weights=values) / counts
    contributions = (values - means[index]) / counts[index] / len(counts)
    return float(means.mean()), contributions


def _scopes(
    queries: ProfileSet, task: str
) -> Iterator[tuple[dict[str, str | None], npt.NDArray[np.bool_]]]:
    everything = np.ones(len(queries), dtype=bool)
    yield {"cell_type": "all", "perturbation": "all"}, everything
    cell_types = sorted(set(queries.cell_types))
    for name in cell_types:
        yield {"cell_type": name, "perturbation": "all"}, queries.cell_types == name
    if task == "moa":
        for mechanism in sorted(set(queries.mechanisms)):
            group = f"{MECHANISM}: {mechanism}"
            yield (
                {"cell_type": "all", "perturbation": group, "group": group},
                queries.mechanisms == mechanism,
            )
        return
    for perturbation in sorted(set(queries.perturbations)):
        of = queries.perturbations == perturbation
        yield {"cell_type": "all", "perturbation": perturbation}, of
        for name in cell_types:
            both = of & (queries.cell_types == name)
            if both.any():
                yield {"cell_type": name, "perturbation": perturbation}, both


MEASURE = Measure("retrieval", retrieval_rows)
