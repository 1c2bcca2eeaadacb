"""Batch correction of features.

Both corrections use only the negative controls of each batch, which differ by batch alone. Treated
images are transformed like the controls of their batch.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked

Correction = Literal["none", "centre-scale", "tvn"]
CORRECTIONS: tuple[Correction, ...] = ("none", "centre-scale", "tvn")
# Added to the diagonal of covariances, in units of the controls' variance, so that those of few
# controls can be inverted; 0.5 as in Recursion's EFAAR_benchmarking.
_RIDGE = 0.5
# Lower bound on the controls' deviation, relative to that of all images: features that are silent
# in all controls would dominate after scaling.
_FLOOR = 0.1


def centre_and_scale(
    features: npt.ArrayLike, is_control: npt.ArrayLike, batches: npt.ArrayLike
) -> Array:
    """Subtract the mean of each batch's controls and divide by their standard deviation.

    Parameters
    ----------
    features
        [n, d].
    is_control
        bool [n], negative controls.
    batches
        The batch of each image, [n].

    Returns
    -------
    numpy.ndarray
        float64 [n, d]: each feature has mean 0 and deviation 1 over the controls of every batch,
        but is divided by at least a tenth of the deviation of all images.

    Raises
    ------
    DataError
        If a batch has fewer than two controls.
    """
    values = checked(features, "").copy()
    control, labels = np.asarray(is_control, bool), np.asarray(batches)
    least = _FLOOR * values.std(axis=0)
    for batch in np.unique(labels):
        rows = labels == batch
        chosen = rows & control
        if chosen.sum() < 2:
            raise DataError(
                f"batch {batch} has {int(chosen.sum())} negative controls; at least two are "
                "needed to correct it"
            )
        deviation = np.maximum(values[chosen].std(axis=0), least)
        mean = values[chosen].mean(axis=0)
        values[rows] = (values[rows] - mean) / np.where(deviation > 0, deviation, 1.0)
    return values


def typical_variation_normalise(
    features: npt.ArrayLike,
    is_control: npt.ArrayLike,
    batches: npt.ArrayLike,
    *,
    reference: npt.ArrayLike | None = None,
    components: int = 256,
) -> Array:
    """Apply typical-variation normalisation (Ando et al., 2017) with batches aligned by controls.

    The principal axes of all controls are scaled to unit variance, so that typical variation does
    not dominate; then each batch is centred and scaled on its controls, and their covariance is
    aligned with that of all controls (CORAL; Sun et al., 2016).

    Parameters
    ----------
    features, is_control, batches
        As in `centre_and_scale`.
    reference
        bool [n]: images whose controls define the typical variation, e.g. real ones; None for all.
    components
        Maximum number of axes; at most the number of controls minus one, since further axes have no
        variance.

    Returns
    -------
    numpy.ndarray
        float64 [n, k].

    Raises
    ------
    DataError
        If a batch has fewer than two controls.
    """
    values = checked(features, "")
    control, labels = np.asarray(is_control, bool), np.asarray(batches)
    typical = control if reference is None else control & np.asarray(reference, bool)
    if typical.sum() < 2:
        raise DataError(
            f"{int(typical.sum())} negative controls are too few to estimate typical variation"
        )
    centred = values - values[typical].mean(axis=0)
    _, singular, axes = np.linalg.svd(centred[typical], full_matrices=False)
    kept = min(components, int((singular > singular[0] * 1e-6).sum()))
    scale = singular[:kept] / np.sqrt(typical.sum() - 1)
    scaled = centre_and_scale(centred @ axes[:kept].T / scale, control, labels)
    colour = _power(_covariance(scaled[typical]), 0.5)
    aligned = np.empty_like(scaled)
    for batch in np.unique(labels):
        rows = labels == batch
        whiten = _power(_covariance(scaled[rows & control]), -0.5)
        aligned[rows] = scaled[rows] @ whiten @ colour
    return aligned


def corrected(
    features: npt.ArrayLike,
    is_control: npt.ArrayLike,
    batches: npt.ArrayLike,
    correction: Correction,
    *,
    reference: npt.ArrayLike | None = None,
) -> npt.NDArray[Any]:
    """Apply the named correction; ``none`` returns the features unchanged."""
    if correction == "centre-scale":
        return centre_and_scale(features, is_control, batches)
    if correction == "tvn":
        return typical_variation_normalise(features, is_control, batches, reference=reference)
    return np.asarray(features)


def _covariance(values: Array) -> Array:
    covariance: Array = np.atleast_2d(np.cov(values, rowvar=False)) + _RIDGE * np.eye(
        values.shape[1]
    )
    return covariance


def _power(covariance: Array, exponent: float) -> Array:
    eigenvalues, vectors = scipy.linalg.eigh(covariance)
    power: Array = (vectors * eigenvalues**exponent) @ vectors.T
    return power
