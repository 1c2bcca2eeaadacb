"""Probes and treatment effects within and across batches.

A probe may learn the batch instead of the perturbation. The batches of each cell type are assigned
to two folds at random: a probe trained on one fold is tested on the other (across batches) and on
new wells of its own (within batches). Probes and effects are measured on raw and corrected features
(`morphpipe.evaluation.robustness.batch_correction`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides, joined, share_fields
from morphpipe.evaluation.core.scopes import compared_perturbations, of_generated_conditions
from morphpipe.evaluation.registry import Measure
from morphpipe.evaluation.robustness.batch_correction import CORRECTIONS, Correction, corrected
from morphpipe.evaluation.robustness.batch_probes import BatchProbes, FoldedSets
from morphpipe.evaluation.robustness.effects_across_batches import batch_effect_rows
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]
# Batch of generated images.
_GENERATED = "generated"


def batch_labels(images: FeatureSet) -> tuple[npt.NDArray[Any], str]:
    """Return the batch of each real image and the column it is from: `plate` for a single `batch`.

    Plates of one batch differ by staining and imaging too, though less than batches do.
    """
    batches = images.column("batch")
    if len(set(batches)) > 1:
        return batches, "batch"
    pairs = zip(batches, images.column("plate"), strict=True)
    return np.array(["\x1f".join(pair) for pair in pairs], dtype=object), "plate"


def fold_of_batches(batches: Sequence[str], seed: int) -> dict[str, int]:
    """Assign batches to two folds of nearly equal size at random.

    Raises
    ------
    DataError
        If there is a single batch.
    """
    names = sorted(set(batches))
    if len(names) < 2:
        raise DataError("all real images are from one batch and one plate")
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[place]: int(turn % 2) for turn, place in enumerate(order)}


def batch_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    context: Mapping[str, Any],
    perturbation_sets: Mapping[str, Sequence[str]],
    seed: int,
    corrections: Sequence[Correction] = CORRECTIONS,
) -> Rows:
    """Measure probes and effects within and across batches, on raw and corrected features.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real, training
        Real held-out and training images of different wells. Corrections are fitted on the controls
        of the training images, and for generated images on their own.
    perturbation_sets
        Classes of the probes, including the negative control: see
        `morphpipe.evaluation.core.scopes.compared_perturbations`.
    seed
        Seed of folds, draws and fits.
    corrections
        Feature corrections.

    Returns
    -------
    list of dict
        Probes: ``accuracy`` and ``macro_f1`` with the regimes ``real-real@within-batches``,
        ``real-real@across-batches``, ``generated-real`` and ``real+generated-real@across-batches``,
        by cell type and pooled (``all``). Effects: see
        `morphpipe.evaluation.robustness.effects_across_batches.batch_effect_rows`. The settings
        name the correction. Null with a reason for a single batch and plate, or too few controls.

    Raises
    ------
    DataError
        If the sets are inconsistent.
    """
    check_sides(generated, real, training)
    common = {**context, "extractor": real.extractor, "view": real.view}
    perturbations = compared_perturbations(perturbation_sets, generated, training)
    chosen = [_named(images, perturbations) for images in (generated, real, training)]
    chosen[1:] = [of_generated_conditions(images, chosen[0]) for images in chosen[1:]]
    cell_types = sorted(
        set.intersection(*(set(images.column("cell_type")) for images in chosen)) - {""}
    )
    rows: Rows = []
    if not cell_types:
        reason = "no cell type has generated, held-out and training images of these perturbations"
        rows.append(
            metric_row(
                **common,
                metric="accuracy",
                regime="real-real@across-batches",
                task="perturbation",
                settings={"correction": "none", "reason": reason},
            )
        )
    for correction in corrections:
        probes = BatchProbes(common, {"correction": correction, "seed": seed}, seed=seed)
        for cell_type in cell_types:
            parts = [images.select(images.column("cell_type") == cell_type) for images in chosen]
            try:
                sets, level = _folded(*parts, correction=correction, seed=seed)
            except DataError as error:
                columns = {"regime": "real-real@across-batches", "task": "perturbation"}
                rows += [
                    metric_row(
                        **common,
                        **extra,
                        metric=metric,
                        cell_type=cell_type,
                        settings={"correction": correction, "reason": str(error)},
                    )
                    for metric, extra in (
                        ("accuracy", columns),
                        ("cate_unbiased", {"comparison": "real@across-batches"}),
                    )
                ]
                continue
            probes.add(sets, cell_type)
            rows += batch_effect_rows(
                sets.test,
                sets.test_batches,
                sets.generated,
                columns=common,
                notes={"correction": correction, "batches_are": level},
                seed=seed,
            )
        rows += probes.rows()
    return rows


def _named(images: FeatureSet, perturbations: Sequence[str]) -> FeatureSet:
    return images.select(images.keys["perturbation"].isin(list(perturbations)).to_numpy(bool))


def _folded(
    generated: FeatureSet,
    test: FeatureSet,
    training: FeatureSet,
    *,
    correction: Correction,
    seed: int,
) -> tuple[FoldedSets, str]:
    """Correct the images of one cell type together, and assign real batches to folds."""
    if share_fields(test, training):
        raise DataError("held-out and training images are the same: the split holds out none")
    real = joined(test, training)
    batches, level = batch_labels(real)
    folds = fold_of_batches(list(batches), seed)
    everything = {(a, b): images for a, b, images in generated.by_seed()}
    whole = [real, *everything.values()]
    labels = [batches] + [
        np.full(len(images), f"{_GENERATED} {number}", dtype=object)
        for number, images in enumerate(everything.values())
    ]
    control = [images.column("control") == "negative" for images in whole]
    # Held-out controls are classified and measured, so they must not fit corrections.
    control[0] &= np.arange(len(real)) >= len(test)
    values = corrected(
        np.concatenate([images.features for images in whole]),
        np.concatenate(control),
        np.concatenate(labels),
        correction,
        reference=np.repeat([True] + [False] * len(everything), [len(i) for i in whole]),
    ).astype(np.float32)
    ends = np.cumsum([len(images) for images in whole])
    parts = np.split(values, ends[:-1])
    numbers = np.array([folds[batch] for batch in batches], dtype=np.intp)
    return FoldedSets(
        _with(test, parts[0][: len(test)]),
        _with(training, parts[0][len(test) :]),
        {
            key: _with(everything[key], part)
            for key, part in zip(everything, parts[1:], strict=True)
        },
        numbers[: len(test)],
        numbers[len(test) :],
        batches[: len(test)],
    ), level


def _with(images: FeatureSet, features: npt.NDArray[np.float32]) -> FeatureSet:
    return replace(images, features=features)


MEASURE = Measure("batches", batch_rows)
