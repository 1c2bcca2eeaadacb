"""Rows on labels of profiles: clusters, mechanisms, linear classification."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.statistics import LEVEL, wilson_interval
from morphpipe.evaluation.morphology.clustering import (
    Clustering,
    cluster_by_label,
    cluster_transferred,
)
from morphpipe.evaluation.morphology.mechanisms import (
    Treatments,
    nearest_mechanism,
    treatment_profiles,
)
from morphpipe.evaluation.morphology.sets import MorphologySets
from morphpipe.evaluation.probes.classifier import split_by_group
from morphpipe.evaluation.probes.rows import probing_rows

Rows = list[dict[str, Any]]

_LABELS = {"perturbation": "perturbation", "mechanism": "moa"}


def clustering_rows(sets: MorphologySets) -> Rows:
    """Compare clusters with perturbations and mechanisms, by cell type.

    Returns
    -------
    list of dict
        ``cluster_adjusted_rand`` (with the level of chance in the settings),
        ``cluster_mutual_information`` and ``label_silhouette``; task ``perturbation`` or
        ``mechanism``; comparison ``real``, ``generated`` and ``generated-real`` (generated fields
        in the clusters of real ones). Cell type ``all`` is the mean over cell types.
    """
    rows: Rows = []
    cell_types = sorted(set(sets.real.images.column("cell_type")))
    for task, column in _LABELS.items():
        pooled: dict[str, list[Clustering]] = {}
        reasons: dict[str, str] = {}
        for cell_type in cell_types:
            here = sets.of_cell_type(cell_type)
            for comparison, measure in _clusterings(here, column).items():
                columns: dict[str, Any] = {
                    "comparison": comparison,
                    "task": task,
                    "cell_type": cell_type,
                    "perturbation": "all",
                    "n_left": 0 if comparison == "real" else len(here.generated),
                    "n_right": 0 if comparison == "generated" else len(here.real),
                }
                try:
                    result = measure()
                except DataError as error:
                    reasons[comparison] = _without(task, str(error))
                    rows += _clustering_rows(sets, None, columns, {"reason": reasons[comparison]})
                    continue
                pooled.setdefault(comparison, []).append(result)
                rows += _clustering_rows(
                    sets,
                    (result.adjusted_rand, result.mutual_information, result.silhouette),
                    columns,
                    {
                        "clusters": result.clusters,
                        "chance_95": result.chance_95,
                        "permutations": sets.settings.permutations,
                        "seed": sets.settings.seed,
                    },
                )
        for comparison in ("real", "generated", "generated-real"):
            columns = {
                "comparison": comparison,
                "task": task,
                "cell_type": "all",
                "perturbation": "all",
            }
            found = pooled.get(comparison, [])
            values = None
            notes: dict[str, Any] = {"mean_over": len(found)}
            if found:
                notes["chance_95"] = float(np.mean([result.chance_95 for result in found]))
                values = (
                    float(np.mean([result.adjusted_rand for result in found])),
                    float(np.mean([result.mutual_information for result in found])),
                    float(np.mean([result.silhouette for result in found])),
                )
            else:
                notes["reason"] = reasons.get(comparison, "there are no fields to cluster")
            rows += _clustering_rows(sets, values, columns, notes)
    return rows


def _without(task: str, reason: str) -> str:
    if task == "mechanism":
        return f"fewer than two mechanisms (moa) are known, or: {reason}"
    return reason


def _clustering_rows(
    sets: MorphologySets,
    values: tuple[float, float, float] | None,
    columns: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> Rows:
    rand, mutual_information, silhouette = values or (None, None, None)
    seeds = {**notes, "seed": list(sets.settings.clustering_seeds)}
    return [
        sets.row("cluster_adjusted_rand", rand, settings=notes, **columns),
        sets.row("cluster_mutual_information", mutual_information, settings=seeds, **columns),
        sets.row("label_silhouette", silhouette, settings=notes, **columns),
    ]


def _clusterings(sets: MorphologySets, column: str) -> dict[str, Callable[[], Clustering]]:
    parts: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[Any]]] = {}
    for name, side in (("real", sets.real), ("generated", sets.generated)):
        labels = side.points.column(column)
        known = labels != ""
        parts[name] = (side.points.features[known], labels[known])
    options: dict[str, Any] = {
        "permutations": sets.settings.permutations,
        "seed": sets.settings.seed,
        "seeds": sets.settings.clustering_seeds,
    }

    def check() -> None:
        if min(len(values) for values, _ in parts.values()) < 2:
            raise DataError("fewer than two fields have a label")

    def alone(name: str) -> Callable[[], Clustering]:
        def measure() -> Clustering:
            check()
            return cluster_by_label(*parts[name], **options)

        return measure

    def transferred() -> Clustering:
        check()
        return cluster_transferred(*parts["real"], *parts["generated"], **options)

    return {
        "real": alone("real"),
        "generated": alone("generated"),
        "generated-real": transferred,
    }


def mechanism_rows(sets: MorphologySets) -> Rows:
    """Nearest-mechanism accuracy (not same compound), real to real and generated to real.

    Returns
    -------
    list of dict
        ``nearest_mechanism_accuracy`` with task ``mechanism`` and comparison real-real or
        generated-real (classified treatments - real references). n_left counts the classified
        treatments, n_right the references. Null without mechanisms.
    """
    rows: Rows = []
    references = _treatments(sets.real.points)
    for comparison, queries in (
        ("real-real", references),
        ("generated-real", _treatments(sets.generated.points)),
    ):
        columns: dict[str, Any] = {
            "comparison": comparison,
            "task": "mechanism",
            "cell_type": "all",
            "perturbation": "all",
        }
        try:
            result = nearest_mechanism(queries, references)
        except DataError as error:
            notes: dict[str, Any] = {"reason": str(error)}
            rows.append(sets.row("nearest_mechanism_accuracy", None, settings=notes, **columns))
            continue
        low, high = wilson_interval(result.correct, result.compounds)
        rows.append(
            sets.row(
                "nearest_mechanism_accuracy",
                result.accuracy,
                ci_low=low,
                ci_high=high,
                n_left=len(result.correct),
                n_right=len(references),
                settings={
                    "chance": result.chance,
                    "left_out": result.left_out,
                    "mechanisms": len(set(references.mechanisms)),
                    "interval": "Wilson, compounds as units",
                    "level": LEVEL,
                },
                **columns,
            )
        )
    return rows


def _treatments(points: FeatureSet) -> Treatments:
    treated = points.select(points.column("control") != "negative")
    doses = treated.keys.get("concentration")
    return treatment_profiles(
        treated.features,
        treated.column("perturbation"),
        treated.column("moa"),
        doses=None if doses is None else doses.astype("string").fillna("").to_numpy(dtype=object),
        contexts=treated.column("cell_type"),
    )


def classification_rows(sets: MorphologySets, *, shared_wells: bool = False) -> Rows:
    """Linear classification of perturbations in MorphGen's regimes (its table 12).

    See `morphpipe.evaluation.probes.rows.probing_rows` for the rows. Without real training fields
    the held-out wells are split into training and test wells, and all regimes are scored on the
    latter.

    Parameters
    ----------
    shared_wells
        Allow training and held-out fields to share wells, for data too small to be split.
    """
    real = sets.real.points
    columns = {name: value for name, value in sets.columns.items() if name not in _BY_PROBING}
    try:
        if sets.training is not None:
            test, training = real, sets.training.points
        else:
            mask = split_by_group(
                real.conditions,
                real.groups,
                seed=sets.settings.seed,
            )
            test, training = real.select(mask), real.select(~mask)
        rows = probing_rows(
            sets.generated.points,
            test,
            training,
            context=columns,
            seed=sets.settings.seed,
            shared_wells=shared_wells,
            tasks=("perturbation",),
            folds=sets.settings.folds,
        )
    except DataError as error:
        notes = {"reason": str(error)}
        return [sets.row("accuracy", None, task="perturbation", settings=notes)]
    # Probe rows lack whether cell counts are matched, and real rows lack the seeds, which the
    # choice of real fields depends on.
    own = {name: sets.columns.get(name) for name in ("view", "training_seed", "sampling_seed")}
    return [{**row, **own} for row in rows]


# Filled in by `probing_rows`.
_BY_PROBING = {"extractor", "view", "training_seed", "sampling_seed"}
