"""Distances between generated and real images, with floor, controls and intervals.

Comparisons in the table:

- ``generated-real``: all generated images against all real images of the same conditions.
- ``real-real``: the floor, see `morphpipe.evaluation.core.floor`.
- ``generated-real@floor-n``, ``copy-real``, ``shuffled-real``: against the same halves as the
  floor, with as many images: generated ones, training images replayed, and generated ones of
  other conditions (other perturbations of the same cell types; for a cell type, other cell
  types). A model that ignores its condition does not beat ``shuffled-real``.
- ``generated-real@real-mix``: overall and by cell type, generated images with as many of each
  perturbation as the real ones have (MorphGen's table 3).
- ``real-real@low-n``, ``copy-real@low-n``, ``generated-real@low-n``: by perturbation, with 16
  images on either side (MorphGen's table 10). Where held-out images are too few to be halved,
  those of training (other wells) against held-out ones, ``copy-real@low-n``, are the floor that
  is left.

Perturbations are also measured in groups: by mechanism, and by whether they occur in training
(`morphpipe.evaluation.core.scopes.perturbation_groups`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.floor import SplitHalf, draw_split_halves
from morphpipe.evaluation.core.scopes import (
    of_generated_conditions,
    perturbation_groups,
    scopes,
)
from morphpipe.evaluation.distances.measures import DistanceMeasure, Frechet, Kernel
from morphpipe.evaluation.distances.scoring import GeneratedSet, Scoring
from morphpipe.evaluation.registry import Measure


def distance_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet | None = None,
    *,
    context: Mapping[str, Any],
    subset_size: int,
    subsets: int,
    floor_repeats: int,
    minimum_images: int,
    low_sample: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Measure Fréchet and kernel distances overall and by cell type, perturbation, pair and group.

    Parameters
    ----------
    generated
        Generated images; each pair of training and sampling seed is measured separately.
    real
        Real held-out images; conditions that were not generated are ignored.
    training
        Training images of any conditions, for the copy control and the distinction in/out of
        distribution; None omits both.
    subset_size, subsets
        Settings of the kernel distance.
    floor_repeats
        Number of random split halves over which floor and controls are averaged.
    minimum_images
        Minimum images per set; 16 is the smallest in MorphGen (table 10).
    low_sample
        Images per set in the low-sample regime (MorphGen, table 10).
    seed
        Seed of split halves, draws and the kernel's subsets (torch-fidelity's default is 2020).

    Returns
    -------
    list of dict
        Rows of the metric table: FID and KID on Inception features, ``frechet_distance`` and
        ``kernel_distance`` on any others, ``relative_FID`` or ``relative_frechet_distance``. Null
        values carry a reason. Rows of groups list their perturbations in the settings.

    Raises
    ------
    DataError
        If the sets come from different encoders or views, or have the wrong origin.
    """
    check_sides(generated, real, training)
    if len(real) == 0:
        raise DataError("distances need at least one real held-out image")
    groups = perturbation_groups(generated, real, training)
    every_real = real
    real = of_generated_conditions(real, generated)
    training = None if training is None else of_generated_conditions(training, generated)
    name = generated.extractor
    measures: list[DistanceMeasure] = [
        Frechet(name),
        Kernel(name, subset_size, subsets, seed),
    ]
    common = {**context, "extractor": name, "view": generated.view}
    rows: list[dict[str, Any]] = []
    seeds = list(generated.by_seed())
    chosen = list(scopes(generated, groups))
    what = f"distances, {name}, {generated.view}"
    for scope in tqdm(chosen, desc=what, unit="set", mininterval=5):
        of_scope = scope.of(real)
        by_seed = [
            GeneratedSet(training_seed, sampling_seed, images, scope.of(images))
            for training_seed, sampling_seed, images in seeds
        ]
        # One floor serves all seeds: halves no larger than the fewest generated images of a seed.
        fewest = min(len(one.images) for one in by_seed)
        drawn, reason = draw_split_halves(
            of_scope,
            repeats=floor_repeats,
            at_most=fewest,
            minimum=minimum_images,
            seed=seed,
        )
        for measure in measures:
            scoring = Scoring(
                scope, measure, of_scope, drawn, reason, floor_repeats, minimum_images, seed, common
            )
            floor = scoring.add_floor()
            if training is not None:
                replayed = scope.of(training)
                # On data too small to be split, a copy is measured against itself: note it.
                both = set(replayed.keys["field_id"]) & set(of_scope.keys["field_id"])
                scoring.add_against_halves(
                    "copy-real",
                    replayed,
                    "condition",
                    further_notes={"fields_in_both": len(both)} if both else None,
                )
            for one in by_seed:
                scoring.add_generated(one, floor)
                if scope.perturbation is None and scope.group is None:
                    share = len(of_scope) / max(len(scope.of(every_real)), 1)
                    scoring.add_real_mix(one, share)
            rows += scoring.rows
            if scope.perturbation is not None:
                copies = None if training is None else scope.of(training)
                rows += _few_images(scoring, copies, by_seed, size=low_sample)
    return rows


def _few_images(
    whole: Scoring,
    training: FeatureSet | None,
    by_seed: Sequence[GeneratedSet],
    *,
    size: int,
) -> list[dict[str, Any]]:
    real, repeats, seed = whole.real, whole.floor_repeats, whole.seed
    drawn, reason = draw_split_halves(real, repeats=repeats, at_most=size, minimum=size, seed=seed)
    scoring = replace(whole, drawn=drawn, reason=reason, suffix="@low-n", rows=[])
    scoring.add_floor()
    if not drawn and len(real) >= size:
        # Too few for two halves, but not for one set.
        generator = np.random.default_rng(seed)
        sets = [generator.permutation(len(real))[:size] for _ in range(repeats)]
        drawn = [SplitHalf(rows, rows) for rows in sets]
        scoring = replace(scoring, drawn=drawn, reason="")
    if training is not None:
        scoring.add_against_halves("copy-real", training, "condition")
    for one in by_seed:
        scoring.add_against_halves("generated-real", one.images, "condition", one.seeds)
    return scoring.rows


MEASURE = Measure("distances", distance_rows, every_view=True)
