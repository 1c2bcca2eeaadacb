"""Treatment effects against controls of the same batch and of other batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.statistics import LEVEL, t_interval
from morphpipe.evaluation.effects.perturbation_effects import (
    PerturbationEffect,
    perturbation_effects,
)
from morphpipe.evaluation.effects.rows import EffectRows, sizes_of

Rows = list[dict[str, Any]]
# Effects of single perturbations, per batch.
ByBatch = dict[str, list[PerturbationEffect]]


def partners(batches: Sequence[str], seed: int) -> dict[str, str]:
    """Assign another batch to each of at least two batches, as a random permutation."""
    names = sorted(set(batches))
    order = np.random.default_rng(seed).permutation(len(names))
    return {
        names[place]: names[after] for place, after in zip(order, np.roll(order, 1), strict=True)
    }


def batch_effect_rows(
    real: FeatureSet,
    batches: npt.NDArray[Any],
    generated: Mapping[tuple[int | None, int | None], FeatureSet],
    *,
    columns: Mapping[str, Any],
    notes: Mapping[str, Any],
    seed: int,
) -> Rows:
    """Measure effects of one cell type within and across batches.

    Parameters
    ----------
    real
        Real held-out images of one cell type.
    batches
        The batch of each.
    generated
        Generated images by seeds.
    columns
        Columns dataset, experiment, generator, extractor and view.
    notes
        Settings of every row.
    seed
        Seed for pairing batches with the controls of others.

    Returns
    -------
    list of dict
        ``cate`` and ``cate_unbiased`` with the comparisons ``real@within-batches`` (controls of the
        same batch), ``real@across-batches`` (controls of another batch), ``control@across-batches``
        (controls of two batches, i.e. the pure batch effect), each a mean over batches, and
        ``generated``; ``cate_rank_correlation`` with ``generated-real@within-batches`` and
        ``generated-real@across-batches``. Null with a reason if fewer than two batches have
        negative controls.
    """
    rows = EffectRows(columns, notes)
    control = real.column("control") == "negative"
    named = sorted(set(batches[control]))
    if len(named) < 2:
        rows.add(
            "cate_unbiased",
            "real@across-batches",
            None,
            notes={"reason": f"{len(named)} batches have held-out negative controls, not two"},
            cell_type=str(real.column("cell_type")[0]),
        )
        return rows.rows
    cell_type = str(real.column("cell_type")[0])
    of_real: dict[str, dict[str, float]] = {}
    for name, other in (
        ("within", {batch: batch for batch in named}),
        ("across", partners(named, seed)),
    ):
        found: ByBatch = {}
        for batch in named:
            treated = ~control & (batches == batch)
            chosen = real.select(treated | (control & (batches == other[batch])))
            for perturbation, effect in _effects(chosen, cell_type).items():
                found.setdefault(perturbation, []).append(effect)
        of_real[name] = dict(_add(rows, f"real@{name}-batches", cell_type, found))
    of_control: ByBatch = {}
    # A pair counts once, in either order.
    pairs = {frozenset(pair): pair for pair in partners(named, seed).items()}
    for batch, another in pairs.values():
        pair = real.select(control & np.isin(batches, [batch, another]))
        of_batch = batches[control & np.isin(batches, [batch, another])]
        # Treat the controls of one batch as the treated images.
        keys = pair.keys.assign(control=np.where(of_batch == another, "negative", "none"))
        relabelled = replace(pair, keys=keys)
        for perturbation, effect in _effects(relabelled, cell_type).items():
            of_control.setdefault(perturbation, []).append(effect)
    list(_add(rows, "control@across-batches", cell_type, of_control))
    for (training_seed, sampling_seed), images in generated.items():
        seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
        effects = perturbation_effects(images).get(cell_type, {})
        rows.add_effects("generated", {cell_type: effects}, **seeds)
        for name, reference in of_real.items():
            rows.add_ranking(
                f"generated-real@{name}-batches",
                cell_type,
                sizes_of(effects),
                reference,
                **seeds,
            )
    return rows.rows


def _effects(images: FeatureSet, cell_type: str) -> dict[str, PerturbationEffect]:
    """Effects of one batch, without intervals, which come from the scatter over batches."""
    return perturbation_effects(images).get(cell_type, {})


def _add(
    rows: EffectRows, comparison: str, cell_type: str, found: ByBatch
) -> Iterator[tuple[str, float]]:
    """Add the mean over batches of each perturbation; yield the unbiased means."""
    for perturbation, effects in sorted(found.items()):
        columns: dict[str, Any] = {
            "cell_type": cell_type,
            "perturbation": perturbation,
            "n_left": sum(effect.n_control for effect in effects),
            "n_right": sum(effect.n_treated for effect in effects),
        }
        for metric, part in (("cate", "biased"), ("cate_unbiased", "unbiased")):
            values = [getattr(effect, part) for effect in effects]
            values = [value for value in values if np.isfinite(value)]
            notes: dict[str, Any] = {"batches": len(values)}
            interval = None
            if len(values) > 1:
                _, interval = t_interval(values)
                notes |= {"interval": "t, batches as units", "level": LEVEL}
            value = float(np.mean(values)) if values else float("nan")
            rows.add(
                metric,
                comparison,
                value,
                interval=interval,
                notes=notes,
                **columns,
            )
            if metric == "cate_unbiased" and values:
                yield perturbation, value
