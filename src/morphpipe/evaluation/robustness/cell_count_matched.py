"""Effects and probes at equal cell counts.

A perturbation that kills cells is distinguishable by cell count alone. Treated fields and controls,
and the classes of a probe, are drawn with the same distribution of counts; what remains is due to
the appearance of cells.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.evaluation.core.cell_counts import COUNTED, cell_count_rows, counts_of
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides, share_fields
from morphpipe.evaluation.core.matching import Indices, matched_rows
from morphpipe.evaluation.core.matching import count_bins as sorted_into_bins
from morphpipe.evaluation.core.scopes import compared_perturbations, of_generated_conditions
from morphpipe.evaluation.core.subsample import priorities
from morphpipe.evaluation.effects.perturbation_effects import (
    perturbation_effects,
    with_mean_effects,
)
from morphpipe.evaluation.effects.rows import EffectRows, Effects, sizes_of
from morphpipe.evaluation.probes.rows import probing_rows
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]
# Minimum matched fields per perturbation.
_MINIMUM = 4


def balanced(
    ids: Sequence[str], labels: npt.ArrayLike, strata: npt.ArrayLike, *, seed: int
) -> Indices:
    """Draw equally many rows of each label from each stratum at random.

    Parameters
    ----------
    ids
        Unique names, [n]; the draw depends on name and seed, not on order.
    labels, strata
        [n].

    Returns
    -------
    numpy.ndarray
        Sorted positions. A stratum that lacks a label is excluded.
    """
    frame = pd.DataFrame({"label": np.asarray(labels), "stratum": np.asarray(strata)})
    sizes = frame.groupby(["stratum", "label"]).size().unstack(fill_value=0)
    quota = sizes.min(axis=1)
    order = np.argsort(priorities(ids, seed), kind="stable")
    shuffled = frame.iloc[order]
    rank = shuffled.groupby(["stratum", "label"]).cumcount().to_numpy()
    taken = rank < shuffled["stratum"].map(quota).to_numpy()
    chosen: Indices = np.sort(order[taken]).astype(np.intp)
    return chosen


def matched_measures(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    context: Mapping[str, Any],
    cells: Mapping[str, int],
    count_bins: int,
    perturbation_sets: Mapping[str, Sequence[str]],
    seed: int,
) -> Rows:
    """Measure effects and probes among fields matched for cell count.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real, training
        Real held-out and training images.
    cells
        Cell count of every field, by id.
    count_bins
        Number of cell-count bins, of about equally many fields.
    perturbation_sets
        Classes of the probes, see `morphpipe.evaluation.core.scopes.compared_perturbations`.

    Returns
    -------
    list of dict
        ``cate``, ``cate_unbiased``, ``delta_cate``, ``cate_difference`` and
        ``cate_rank_correlation`` as in `morphpipe.evaluation.effects.rows`; ``accuracy`` etc. as in
        `morphpipe.evaluation.probes.rows`.

    Raises
    ------
    DataError
        If the sets are inconsistent, or an image has no count.
    """
    check_sides(generated, real, training)
    perturbations = compared_perturbations(perturbation_sets, generated, training)
    shared = share_fields(real, training)
    real, training = (of_generated_conditions(images, generated) for images in (real, training))
    common = {**context, "extractor": real.extractor, "view": real.view}
    sets = [_named(images, perturbations) for images in (generated, real, training)]
    return [
        *_effect_rows(generated, real, cells, common, count_bins, seed),
        *_probe_rows(sets, cells, context, count_bins, seed, shared_wells=shared),
    ]


def _named(images: FeatureSet, perturbations: Sequence[str]) -> FeatureSet:
    return images.select(images.keys["perturbation"].isin(list(perturbations)).to_numpy(bool))


def matched_effects(
    images: FeatureSet, counts: Mapping[str, int], bins: int, seed: int
) -> tuple[Effects, dict[tuple[str, str], str]]:
    """Measure the effects of all perturbations against controls of the same cell counts.

    Parameters
    ----------
    images
        Real images, or generated images of one pair of seeds.
    counts, bins, seed
        See `matched_measures`: `cells`, `count_bins` and `seed`.

    Returns
    -------
    effects : dict
        As in `morphpipe.evaluation.effects.perturbation_effects.perturbation_effects`.
    lacking : dict
        Reason for a missing effect, by cell type and perturbation.
    """
    cells = counts_of(images, counts)
    cell_types, names = images.column("cell_type"), images.column("perturbation")
    control = images.column("control") == "negative"
    effects: Effects = {}
    lacking: dict[tuple[str, str], str] = {}
    for cell_type in sorted(set(cell_types)):
        of_type = cell_types == cell_type
        controls = np.flatnonzero(of_type & control)
        if not len(controls):
            continue
        effects[cell_type] = {}
        for name in sorted(set(names[of_type & ~control]) - {""}):
            treated = np.flatnonzero(of_type & ~control & (names == name))
            classes = sorted_into_bins([cells[controls], cells[treated]], bins)
            ids = images.column("field_id")
            kept = matched_rows(
                list(ids[controls]), classes[0], list(ids[treated]), classes[1], seed=seed
            )
            if len(kept[0]) < _MINIMUM:
                lacking[cell_type, name] = (
                    f"{len(kept[0])} fields have controls of their cell count, fewer than "
                    f"{_MINIMUM}"
                )
                continue
            chosen = images.select(np.concatenate([controls[kept[0]], treated[kept[1]]]))
            found = perturbation_effects(chosen)
            effects[cell_type][name] = found[cell_type][name]
    return with_mean_effects(effects), lacking


def _effect_rows(
    generated: FeatureSet,
    real: FeatureSet,
    counts: Mapping[str, int],
    common: Mapping[str, Any],
    bins: int,
    seed: int,
) -> Rows:
    rows = EffectRows(common, {"matched": "cell count", "bins": bins})
    of_real, lacking = matched_effects(real, counts, bins, seed)
    rows.add_effects("real", of_real)
    _add_lacking(rows, "real", lacking)
    for training_seed, sampling_seed, images in generated.by_seed():
        seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
        found, lacking = matched_effects(images, counts, bins, seed)
        rows.add_effects("generated", found, **seeds)
        _add_lacking(rows, "generated", lacking, **seeds)
        rows.add_differences(of_real, found, **seeds)
        for cell_type, effects in found.items():
            if cell_type in of_real:
                real_sizes = sizes_of(of_real[cell_type])
                rows.add_ranking(
                    "generated-real", cell_type, sizes_of(effects), real_sizes, **seeds
                )
    return rows.rows


def _add_lacking(
    rows: EffectRows,
    comparison: str,
    lacking: Mapping[tuple[str, str], str],
    **seeds: int | None,
) -> None:
    for (cell_type, perturbation), reason in lacking.items():
        columns: dict[str, Any] = {
            "cell_type": cell_type,
            "perturbation": perturbation,
            **seeds,
        }
        for metric in ("cate", "cate_unbiased"):
            rows.add(metric, comparison, None, notes={"reason": reason}, **columns)


def _probe_rows(
    sets: Sequence[FeatureSet],
    counts: Mapping[str, int],
    context: Mapping[str, Any],
    bins: int,
    seed: int,
    *,
    shared_wells: bool,
) -> Rows:
    matched = [_balanced_set(images, counts, bins, seed) for images in sets]
    kept = [f"{len(part)} of {len(whole)}" for part, whole in zip(matched, sets, strict=True)]
    notes = {"matched": "cell count", "bins": bins}
    notes |= dict(zip(("kept_generated", "kept_real", "kept_training"), kept, strict=True))
    rows: Rows = []
    fewest = min(_per_class(images) for images in matched)
    if fewest >= _MINIMUM:
        found = probing_rows(
            *matched,
            context=context,
            seed=seed,
            shared_wells=shared_wells,
            tasks=("perturbation",),
        )
        rows += [_with_notes(row, notes) for row in found]
    else:
        reason = (
            f"{fewest} fields of each perturbation have the same cell counts on one side, fewer "
            f"than {_MINIMUM}"
        )
        rows.append(
            metric_row(
                **context,
                extractor=sets[0].extractor,
                view=sets[0].view,
                metric="accuracy",
                regime="real-real",
                task="perturbation",
                settings=notes | {"reason": reason},
            )
        )
    return rows


def _per_class(images: FeatureSet) -> int:
    if not len(images):
        return 0
    keys = ["perturbation", "training_seed", "sampling_seed"]
    return int(images.keys.groupby(keys, dropna=False).size().min())


def count_rows(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    context: Mapping[str, Any],
    cells: Mapping[str, int],
    count_bins: int,
    perturbation_sets: Mapping[str, Sequence[str]],
    seed: int,
) -> Rows:
    """Measure mean cell counts, and probe the perturbation from the count alone (unmatched).

    Parameters
    ----------
    generated, real, training, context, cells, count_bins, perturbation_sets, seed
        See `matched_measures`.

    Returns
    -------
    list of dict
        See `morphpipe.evaluation.core.cell_counts.cell_count_rows` and
        `morphpipe.evaluation.probes.rows.probing_rows`.
    """
    rows = cell_count_rows(generated, real, cells, context=context)
    perturbations = compared_perturbations(perturbation_sets, generated, training)
    counted = []
    for images in (generated, real, training):
        chosen = _named(images, perturbations)
        values = counts_of(chosen, cells)[:, None].astype(np.float32)
        counted.append(FeatureSet(chosen.keys, values, *COUNTED))
    if all(len(images) for images in counted):
        found = probing_rows(
            *counted,
            context=context,
            seed=seed,
            shared_wells=share_fields(real, training),
            tasks=("perturbation",),
        )
        rows += [_with_notes(row, {"matched": "none"}) for row in found]
    return rows


def _balanced_set(
    images: FeatureSet, counts: Mapping[str, int], bins: int, seed: int
) -> FeatureSet:
    cells, cell_types = counts_of(images, counts), images.column("cell_type")
    ids, labels = images.column("field_id"), images.column("perturbation")
    chosen = []
    # Match generated images within their pair of seeds.
    seeds = images.keys[["training_seed", "sampling_seed"]].astype("Int64").fillna(-1)
    units = pd.Series(cell_types).str.cat([seeds[name].astype(str) for name in seeds], sep="\x1f")
    for name in sorted(set(units)):
        rows = np.flatnonzero((units == name).to_numpy(bool))
        strata = sorted_into_bins([cells[rows]], bins)[0]
        chosen.append(rows[balanced(list(ids[rows]), labels[rows], strata, seed=seed)])
    return images.select(np.sort(np.concatenate(chosen)) if chosen else np.arange(0))


def _with_notes(row: dict[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    settings = json.loads(row["settings"]) | dict(notes)
    return row | {"settings": json.dumps(settings, sort_keys=True)}


MEASURE = Measure("matched", matched_measures, needs=("cells",), once=count_rows)
