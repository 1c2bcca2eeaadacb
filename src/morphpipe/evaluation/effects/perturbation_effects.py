"""Effects of all perturbations against the negative controls."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.statistics import Array
from morphpipe.evaluation.effects.cate import cate, error_of_mean, noise_of_mean, variance_of_cate


@dataclass(frozen=True)
class PerturbationEffect:
    """Effect of one perturbation.

    Attributes
    ----------
    biased
        The papers' value, `morphpipe.evaluation.effects.cate.cate`.
    unbiased
        Without the sampling noise of both means; NaN if a set is a single image.
    variance, freedom
        Sampling variance of the unbiased value and its degrees of freedom; None if a set comes from
        a single well. They serve both values: the scatter of the subtracted noise is smaller by an
        order of the number of wells.
    n_control, n_treated
        Numbers of images.
    units
        Units between which the sampling noise was estimated.
    """

    biased: float
    unbiased: float
    variance: float | None
    freedom: int
    n_control: int
    n_treated: int
    units: str


@dataclass(frozen=True)
class _Mean:
    """Images with the sampling noise of their mean and its error [units, d] (None for one unit)."""

    features: Array
    noise: float
    error: Array | None
    units: str


def _mean(
    features: npt.NDArray[np.float32], groups: npt.NDArray[np.intp], is_generated: bool
) -> _Mean:
    values = features.astype(np.float64)
    if len(np.unique(groups)) < 2:
        # One well shows no variation between wells; the noise between its fields is a lower bound.
        if len(values) < 2:
            return _Mean(values, float("nan"), None, "a single field")
        return _Mean(values, noise_of_mean(values), None, "fields of one well")
    error = error_of_mean(values, groups)
    units = "images" if is_generated else "wells"
    return _Mean(values, float(np.vdot(error, error)), error, units)


def _of_cell_type(images: FeatureSet) -> dict[str, PerturbationEffect]:
    """Measure each perturbation of one cell type; empty without negative controls."""
    is_control = images.column("control") == "negative"
    if not is_control.any():
        return {}
    groups, names = images.groups, images.column("perturbation")

    def mean(mask: npt.NDArray[np.bool_]) -> _Mean:
        return _mean(images.features[mask], groups[mask], images.is_generated)

    control = mean(is_control)
    effects = {}
    for name in sorted(set(names[~is_control]) - {""}):
        treated = mean((names == name) & ~is_control)
        value = cate(control.features, treated.features)
        variance, freedom = None, 0
        if control.error is not None and treated.error is not None:
            difference = treated.features.mean(axis=0) - control.features.mean(axis=0)
            variance = variance_of_cate(difference, control.error, treated.error)
            freedom = len(control.error) + len(treated.error) - 2
        effects[name] = PerturbationEffect(
            value,
            value - control.noise - treated.noise,
            variance,
            freedom,
            len(control.features),
            len(treated.features),
            f"{control.units} (control), {treated.units} (treated)",
        )
    return effects


def perturbation_effects(images: FeatureSet) -> dict[str, dict[str, PerturbationEffect]]:
    """Measure every perturbation against the negative controls of its cell type.

    Parameters
    ----------
    images
        Real images, or generated images of one pair of seeds.

    Returns
    -------
    dict
        Cell type to perturbation to effect; ``all`` holds the means over cell types.
    """
    cell_types = images.column("cell_type")
    return with_mean_effects(
        {name: _of_cell_type(images.select(cell_types == name)) for name in sorted(set(cell_types))}
    )


def with_mean_effects(
    effects: dict[str, dict[str, PerturbationEffect]],
) -> dict[str, dict[str, PerturbationEffect]]:
    """Add the means over the cell types that have a perturbation as ``all``."""
    pooled = {}
    for name in sorted({p for of_type in effects.values() for p in of_type}):
        parts = [of_type[name] for of_type in effects.values() if name in of_type]
        variances = [part.variance for part in parts if part.variance is not None]
        pooled[name] = PerturbationEffect(
            float(np.mean([part.biased for part in parts])),
            float(np.mean([part.unbiased for part in parts])),
            sum(variances) / len(parts) ** 2 if len(variances) == len(parts) else None,
            sum(part.freedom for part in parts),
            sum(part.n_control for part in parts),
            sum(part.n_treated for part in parts),
            f"mean over {len(parts)} cell types",
        )
    return {**effects, "all": pooled}
