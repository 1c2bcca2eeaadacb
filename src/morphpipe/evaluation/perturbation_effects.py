"""Effects of all perturbations of a set of images against the negative controls."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from morphpipe.evaluation.effects import cate, noise_of_mean
from morphpipe.evaluation.feature_set import FeatureSet
from morphpipe.evaluation.statistics import Array, bootstrap_counts, group_index


@dataclass(frozen=True)
class PerturbationEffect:
    """Effect of one perturbation.

    Attributes
    ----------
    biased
        The papers' value, `morphpipe.evaluation.effects.cate`.
    unbiased
        Without the sampling noise of both means; NaN where a set is a single image.
    deviations
        float64 [replicates]: bootstrapped squared distances minus their mean; None where a set is
        from a single well. They serve both values: the noise that is subtracted scatters less by
        an order of the number of wells.
    n_control, n_treated
        Numbers of images.
    units
        Between what the sampling noise was estimated.
    """

    biased: float
    unbiased: float
    deviations: Array | None
    n_control: int
    n_treated: int
    units: str


@dataclass(frozen=True)
class _Mean:
    """A mean with its sampling noise and its bootstrap replicates [replicates, d]."""

    features: Array
    noise: float
    replicates: Array | None
    units: str


def _mean(
    features: npt.NDArray[np.float32],
    groups: npt.NDArray[np.intp],
    is_generated: bool,
    replicates: int,
    generator: np.random.Generator,
) -> _Mean:
    values = features.astype(np.float64)
    index, number = group_index(groups, len(values))
    if number < 2:
        # What differs between wells cannot be seen in one; the fields' own noise is a lower bound.
        if len(values) < 2:
            return _Mean(values, float("nan"), None, "a single field")
        return _Mean(values, noise_of_mean(values), None, "fields of one well")
    totals = np.zeros((number, values.shape[1]))
    np.add.at(totals, index, values)
    counts = bootstrap_counts(number, replicates, generator)
    drawn = counts @ totals / (counts @ np.bincount(index, minlength=number))[:, None]
    units = "images" if is_generated else "wells"
    return _Mean(values, noise_of_mean(values, groups), drawn, units)


def _of_cell_type(
    images: FeatureSet, replicates: int, generator: np.random.Generator
) -> dict[str, PerturbationEffect]:
    """Measure each perturbation of one cell type; empty without negative controls."""
    is_control = images.column("control") == "negative"
    if not is_control.any():
        return {}
    groups, names = images.groups, images.column("perturbation")

    def mean(mask: npt.NDArray[np.bool_]) -> _Mean:
        return _mean(
            images.features[mask], groups[mask], images.is_generated, replicates, generator
        )

    control = mean(is_control)
    effects = {}
    for name in sorted(set(names[~is_control]) - {""}):
        treated = mean((names == name) & ~is_control)
        value = cate(control.features, treated.features)
        deviations = None
        if control.replicates is not None and treated.replicates is not None:
            drawn = ((control.replicates - treated.replicates) ** 2).sum(axis=1)
            deviations = drawn - drawn.mean()
        effects[name] = PerturbationEffect(
            value,
            value - control.noise - treated.noise,
            deviations,
            len(control.features),
            len(treated.features),
            f"{control.units} (control), {treated.units} (treated)",
        )
    return effects


def perturbation_effects(
    images: FeatureSet, *, replicates: int, seed: int
) -> dict[str, dict[str, PerturbationEffect]]:
    """Measure every perturbation against the negative controls of its cell type.

    Parameters
    ----------
    images
        Real images, or generated ones of one pair of seeds.
    replicates
        Bootstrap samples of wells (of images, where they are generated).
    seed
        Seed of the bootstrap.

    Returns
    -------
    dict
        Cell type to perturbation to effect; under ``all`` the means over the cell types that have
        the perturbation.
    """
    cell_types = images.column("cell_type")
    result = {}
    for name in sorted(set(cell_types)):
        # Draws of their own for every cell type: their errors are independent.
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        result[name] = _of_cell_type(images.select(cell_types == name), replicates, generator)
    return with_mean_effects(result)


def with_mean_effects(
    effects: dict[str, dict[str, PerturbationEffect]],
) -> dict[str, dict[str, PerturbationEffect]]:
    """Add under ``all`` the means over the cell types that have a perturbation."""
    pooled = {}
    for name in sorted({p for of_type in effects.values() for p in of_type}):
        parts = [of_type[name] for of_type in effects.values() if name in of_type]
        deviations = [part.deviations for part in parts if part.deviations is not None]
        pooled[name] = PerturbationEffect(
            float(np.mean([part.biased for part in parts])),
            float(np.mean([part.unbiased for part in parts])),
            np.mean(deviations, axis=0) if len(deviations) == len(parts) else None,
            sum(part.n_control for part in parts),
            sum(part.n_treated for part in parts),
            f"mean over {len(parts)} cell types",
        )
    return {**effects, "all": pooled}
