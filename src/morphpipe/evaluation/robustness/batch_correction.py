"""Batch-corrected features: what differs between batches without any perturbation is taken out.

Both corrections look at the negative controls of each batch alone, which are alike in all of them
but for the batch. Treated images are transformed as the controls of their batch are.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import Array, checked

Correction = Literal["none", "centre-scale", "tvn"]
CORRECTIONS: tuple[Correction, ...] = ("none", "centre-scale", "tvn")
# Added to the diagonal of covariances, in units of the controls' variance: Recursion's benchmark
# of embeddings (EFAAR_benchmarking) adds 0.5, without which few controls cannot be inverted.
_RIDGE = 0.5
# Deviation of the controls below this share of that of all images is taken to be this share: some
# features of a network are silent in all controls, and would drown all others once scaled.
_FLOOR = 0.1


def centre_and_scale(
    features: npt.ArrayLike, is_control: npt.ArrayLike, batches: npt.ArrayLike
) -> Array:
    """Subtract the mean of the controls of each batch, and divide by their deviation.

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
        float64 [n, d]: of the controls of every batch, each feature has mean 0 and deviation 1.
        Where controls vary by less than a tenth of the deviation of all images, that tenth is
        divided by.

    Raises
    ------
    DataError
        If a batch has fewer than two controls, naming it.
    """
    values = checked(features, "").copy()
    control, labels = np.asarray(is_control, bool), np.asarray(batches)
    least = _FLOOR * values.std(axis=0)
    for batch in np.unique(labels):
        rows = labels == batch
        chosen = rows & control
        if chosen.sum() < 2:
            raise DataError(
                f"batch {batch} has {int(chosen.sum())} negative controls; two at least are "
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
    """Typical-variation normalisation (Ando et al., 2017), with batches aligned by their controls.

    The principal axes of all controls are scaled to unit variance, so that what varies among
    controls anyhow counts no more than what does not; then each batch is centred and scaled on
    its controls, and the covariance of its controls made that of all controls (CORAL; Sun et al.,
    2016).

    Parameters
    ----------
    features, is_control, batches
        As for `centre_and_scale`.
    reference
        bool [n]: images whose controls say what varies typically, real ones for instance; None
        takes all.
    components
        At most so many axes are kept, and never more than controls less one: beyond, controls do
        not vary and nothing could be scaled.

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
        raise DataError(f"{int(typical.sum())} negative controls cannot tell what varies typically")
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
    """Correct features by the correction of this name; ``none`` leaves them as they are."""
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
    """Power of a symmetric positive definite matrix."""
    eigenvalues, vectors = scipy.linalg.eigh(covariance)
    power: Array = (vectors * eigenvalues**exponent) @ vectors.T
    return power
