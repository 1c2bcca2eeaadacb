"""Linear probes in four regimes: how well generated images replace or complement real ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides, share_fields
from morphpipe.evaluation.core.scopes import PERTURBATION_SET
from morphpipe.evaluation.core.statistics import LEVEL, wilson_interval
from morphpipe.evaluation.probes.classifier import FOLDS, cross_validated, probe, split_by_group
from morphpipe.evaluation.probes.macro_f1 import macro_f1_row
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

TASKS = ("perturbation", "cell_type")


@dataclass(frozen=True)
class _Images:
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    has_wells: bool

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, mask: npt.NDArray[np.bool_]) -> "_Images":
        return _Images(self.features[mask], self.labels[mask], self.groups[mask], self.has_wells)


def _images(of: FeatureSet, task: str, classes: Sequence[str]) -> _Images:
    labels = of.column(task)
    mask = np.isin(labels, list(classes))
    return _Images(of.features[mask], labels[mask], of.groups[mask], not of.is_generated)


def _together(left: _Images, right: _Images) -> _Images:
    """Training images of both sets, with distinct units."""
    groups = np.concatenate(
        [
            np.char.add("left", left.groups.astype(str)),
            np.char.add("right", right.groups.astype(str)),
        ]
    )
    return _Images(
        np.concatenate([left.features, right.features]),
        np.concatenate([left.labels, right.labels]),
        groups,
        True,
    )


# Regimes of one seed: generated-real, real+generated-real and generated-generated.
_OF_A_SEED = 3


def _regimes(
    task: str,
    classes: Sequence[str],
    by_seed: Sequence[tuple[int | None, int | None, FeatureSet]],
    real: FeatureSet,
    training: FeatureSet,
    seed: int,
) -> Iterator[tuple[dict[str, int | None], str, _Images, _Images | str]]:
    """Seeds, regime, training and test images (or the reason for having none) of each probe."""
    learnt, test = _images(training, task, classes), _images(real, task, classes)
    yield {}, "real-real", learnt, test
    for training_seed, sampling_seed, generated in by_seed:
        seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
        images = _images(generated, task, classes)
        yield seeds, "generated-real", images, test
        yield seeds, "real+generated-real", _together(learnt, images), test
        try:
            mask = split_by_group(images.labels, seed=seed)
        except DataError as error:
            yield seeds, "generated-generated", images, str(error)
        else:
            yield seeds, "generated-generated", images.select(~mask), images.select(mask)


def _probe_rows(
    regime: str,
    task: str,
    train: _Images,
    test: _Images,
    common: dict[str, Any],
    notes: dict[str, Any],
    seed: int,
    folds: int,
) -> Iterator[dict[str, Any]]:
    columns = {
        **common,
        "regime": regime,
        "task": task,
        "n_left": len(train),
        "n_right": len(test),
        "cell_type": "all",
        "perturbation": "all",
    }
    result = probe(train.features, train.labels, test.features, test.labels, seed=seed)
    notes = {
        **notes,
        "chance": result.chance,
        "uniform_chance": 1 / len(np.unique(train.labels)),
        "converged": result.converged,
        "seed": seed,
    }
    groups = test.groups if test.has_wells else None
    wilson = {"interval": "Wilson, wells as units", "level": LEVEL}
    low, high = wilson_interval(result.correct, groups)
    yield metric_row(
        **columns,
        metric="accuracy",
        value=result.accuracy,
        ci_low=low,
        ci_high=high,
        settings=notes | wilson,
    )
    yield macro_f1_row(columns, notes, test.labels, result.predicted, groups)
    for name, accuracy in result.per_class.items():
        of_class = test.labels == name
        low, high = wilson_interval(
            result.correct[of_class], None if groups is None else groups[of_class]
        )
        yield metric_row(
            **{**columns, task: name, "n_right": int(of_class.sum())},
            metric="class_accuracy",
            value=accuracy,
            ci_low=low,
            ci_high=high,
            settings=notes | wilson,
        )
    yield _cross_validation_row(train, columns, notes, seed, folds)


def _cross_validation_row(
    train: _Images, columns: dict[str, Any], notes: dict[str, Any], seed: int, folds: int
) -> dict[str, Any]:
    """Cross-validate on the training images; null if a class has too few wells."""
    value: float | None = None
    detail: dict[str, Any] = {"folds": folds}
    try:
        scores = cross_validated(
            train.features,
            train.labels,
            train.groups if train.has_wells else None,
            folds=folds,
            seed=seed,
        )
        value = scores.mean
        detail["standard_deviation_over_folds"] = scores.std
    except DataError as error:
        detail["reason"] = str(error)
    return metric_row(
        **columns, metric="cross_validated_accuracy", value=value, settings=notes | detail
    )


def probing_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    context: Mapping[str, Any],
    seed: int,
    shared_wells: bool = False,
    tasks: Sequence[str] = TASKS,
    folds: int = FOLDS,
) -> list[dict[str, Any]]:
    """Train probes on real, generated, and real plus generated images, and test them.

    All regimes except generated-generated are tested on the same real held-out images; the real
    training images come from other wells.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is probed separately.
    real
        Real held-out images, the test set.
    training
        Real images from other wells to train on.
    shared_wells
        Allow training and held-out images to share wells, for data too small to be split; noted in
        the settings of every row.
    tasks
        ``perturbation`` (over all cell types pooled), ``cell_type``, or both.
    folds
        Folds of the cross-validation.

    Returns
    -------
    list of dict
        Rows of the metric table: ``accuracy``, ``macro_f1``, ``class_accuracy`` (class in the
        task's column) and ``cross_validated_accuracy``. The settings hold the level of chance and
        the classes left out because a set lacks them.

    Raises
    ------
    DataError
        If the sets are inconsistent or share a well or field.
    """
    check_sides(generated, real, training)
    shared = _shared_wells(training, real, allowed=shared_wells)
    rows: list[dict[str, Any]] = []
    by_seed = list(generated.by_seed())
    for task in tasks:
        if task not in TASKS:
            raise DataError(f"unknown probe task {task!r}; choose from {', '.join(TASKS)}")
        labels = [set(of.column(task)) - {""} for of in (generated, real, training)]
        classes = sorted(set.intersection(*labels))
        notes: dict[str, Any] = {
            "classes": len(classes),
            "left_out": sorted(set.union(*labels) - set(classes)),
        }
        if shared:
            notes["wells_in_training_and_test"] = shared
        common = {**context, "extractor": real.extractor, "view": real.view}
        if len(classes) < 2:
            found = "one class is" if classes else "no class is"
            reason = f"{found} in all sets, fewer than two"
            rows.append(
                metric_row(
                    **common, metric="accuracy", task=task, settings=notes | {"reason": reason}
                )
            )
            continue
        probes = _regimes(task, classes, by_seed, real, training, seed)
        what = f"probes of the {task.replace('_', ' ')}, {real.extractor}, {real.view}"
        total = 1 + _OF_A_SEED * len(by_seed)
        for seeds, regime, train, test in tqdm(probes, desc=what, total=total, unit="probe"):
            if isinstance(test, str):
                columns = common | seeds | {"regime": regime, "task": task}
                empty = notes | {"reason": test}
                rows.append(metric_row(**columns, metric="accuracy", settings=empty))
            else:
                rows += _probe_rows(regime, task, train, test, common | seeds, notes, seed, folds)
    return rows


def probing_set_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    perturbations: Sequence[str],
    *,
    name: str,
    context: Mapping[str, Any],
    **settings: Any,
) -> list[dict[str, Any]]:
    """Probe a set of perturbations on its own, like `probing_rows` does for all of them.

    MorphGen's table 11 has 4 perturbations, tables 13 and 14 have 10: more classes are harder.

    Parameters
    ----------
    generated, real, training, context, **settings
        See `probing_rows`.
    perturbations
        The set.
    name
        Name of the set: rows belong to the group "set: <name>".

    Returns
    -------
    list of dict
        Rows as in `probing_rows`; the column perturbation names the set instead of ``all``.
    """
    group = f"{PERTURBATION_SET}: {name}"
    wanted = list(perturbations)
    chosen = [
        images.select(images.keys["perturbation"].isin(wanted).to_numpy(bool))
        for images in (generated, real, training)
    ]
    missing = sorted(
        set(wanted) - set.intersection(*(set(i.column("perturbation")) for i in chosen))
    )
    if not all(len(images) for images in chosen):
        reason = f"no image of {', '.join(missing[:3])} on a side: generate and measure them"
        return [
            metric_row(
                **context,
                extractor=real.extractor,
                view=real.view,
                metric="accuracy",
                task=task,
                perturbation=group,
                group=group,
                settings={"reason": reason, "left_out": missing},
            )
            for task in TASKS
        ]
    rows = probing_rows(*chosen, context=context, **settings)
    for row in rows:
        row["group"] = group
        if row["perturbation"] in (None, "all"):
            row["perturbation"] = group
    return rows


def _shared_wells(training: FeatureSet, real: FeatureSet, *, allowed: bool) -> int:
    """Count the wells on both sides, or raise DataError if sharing is not allowed."""
    wells = [
        set(zip(*(of.column(c) for c in ("batch", "plate", "well")), strict=True))
        for of in (training, real)
    ]
    shared = wells[0] & wells[1]
    if shared and not allowed:
        batch, plate, well = min(shared)
        raise DataError(
            f"{len(shared)} wells are among both the training and the held-out images, first "
            f"{well} of plate {plate} of batch {batch}; split by well before probing"
        )
    return len(shared)


def _measured(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    perturbation_sets: Mapping[str, Sequence[str]],
    **settings: Any,
) -> list[dict[str, Any]]:
    sets = generated, real, training
    settings["shared_wells"] = share_fields(real, training)
    rows = probing_rows(*sets, **settings)
    for name, perturbations in perturbation_sets.items():
        rows += probing_set_rows(*sets, perturbations, name=name, **settings)
    return rows


MEASURE = Measure("probes", _measured)
