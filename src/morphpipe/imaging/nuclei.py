"""Crops centred on nuclei of real and generated fields.

IMPA's protocol, used in MorphGen's tables 8 and 9: Otsu's threshold on the DNA channel, and a
square of 96 x 96 pixels around each nucleus.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used
import skimage  # its parts load when used

from morphpipe.core.errors import DataError


def segment_nuclei(
    dna: npt.NDArray[Any], *, sigma: float = 1.0, min_area: int = 40, max_area: int | None = None
) -> npt.NDArray[np.int32]:
    """Segment nuclei by Otsu's threshold.

    Gaussian smoothing, a global Otsu threshold (IEEE Trans. Syst. Man Cybern. 9:62, 1979), hole
    filling, and removal of connected regions (8 neighbours) outside the range of areas. As in the
    protocol, touching nuclei are not separated.

    Otsu's threshold splits any field in two, even pure noise: see `morphpipe.imaging.quality` for
    detecting such fields. A constant plane has no nuclei.

    Parameters
    ----------
    dna
        [H, W], the DNA channel.
    sigma
        Standard deviation of the Gaussian in pixels; 0 for none.
    min_area, max_area
        Minimum and maximum area of a region in pixels. The papers give neither; without `max_area`
        clumps are kept.

    Returns
    -------
    numpy.ndarray
        int32 [H, W]: 0 is background, nuclei are numbered from 1 without gaps.

    Raises
    ------
    DataError
        If it is not a plane or not finite.
    """
    dna = np.asarray(dna)
    if dna.ndim != 2 or not dna.size or not np.isfinite(dna).all():
        raise DataError(
            "segmenting nuclei needs a plane [H, W] of finite values, but this one of shape "
            f"{dna.shape} is not"
        )
    if dna.min() == dna.max():
        return np.zeros(dna.shape, dtype=np.int32)
    smooth = scipy.ndimage.gaussian_filter(dna.astype(np.float32), sigma)
    bright = scipy.ndimage.binary_fill_holes(smooth > skimage.filters.threshold_otsu(smooth))
    regions, _ = scipy.ndimage.label(bright, structure=np.ones((3, 3)))
    areas = np.bincount(regions.ravel())
    kept = areas >= min_area
    if max_area is not None:
        kept &= areas <= max_area
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return numbers[regions]


def nucleus_centres(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the centroid of each nucleus, rounded to pixels.

    Parameters
    ----------
    labels
        [H, W], as from `segment_nuclei`.

    Returns
    -------
    numpy.ndarray
        int64 [n, 2], row and column, sorted by row, then by column.
    """
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    if not len(numbers):
        return np.empty((0, 2), dtype=np.int64)
    centroids = scipy.ndimage.center_of_mass(np.ones(labels.shape), labels, numbers)
    centres = np.rint(centroids).astype(np.int64)
    return centres[np.lexsort((centres[:, 1], centres[:, 0]))]


def crop_nuclei(
    stack: npt.NDArray[Any], centres: npt.NDArray[np.int64], size: int = 96
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Crop a square around each centre from all channels.

    Parameters
    ----------
    stack
        [C, H, W], any type.
    centres
        int [m, 2], row and column.
    size
        Height and width of the square in pixels. The centre becomes pixel
        (size // 2, size // 2).

    Returns
    -------
    crops : numpy.ndarray
        [n, C, size, size] of the same type: the kept crops, in the order of the centres.
    kept : numpy.ndarray
        bool [m]: whether the square lies completely inside the field; there is no padding.

    Raises
    ------
    DataError
        If the stack is not [C, H, W], or smaller than one square.
    """
    if stack.ndim != 3 or not 1 <= size <= min(stack.shape[1:]):
        raise DataError(
            f"squares of {size} pixels cannot be cut out of a stack of shape {stack.shape}; "
            "a field [C, H, W] at least as large is needed"
        )
    corners = np.asarray(centres, dtype=np.int64).reshape(-1, 2) - size // 2
    kept = np.all((corners >= 0) & (corners + size <= stack.shape[1:]), axis=1)
    crops = np.empty((int(kept.sum()), len(stack), size, size), dtype=stack.dtype)
    for crop, (top, left) in zip(crops, corners[kept], strict=True):
        crop[:] = stack[:, top : top + size, left : left + size]
    return crops, kept


def in_order(
    stack: npt.NDArray[Any], names: Sequence[str], order: Sequence[str]
) -> npt.NDArray[Any]:
    """Reorder channels by name.

    Parameters
    ----------
    stack
        [..., C, H, W], any type.
    names
        The C channels' names, in the stack's order.
    order
        The wanted names, e.g. one of `morphpipe.imaging.crop_orders.CROP_ORDERS`; other channels
        are dropped.

    Returns
    -------
    numpy.ndarray
        [..., len(order), H, W].

    Raises
    ------
    DataError
        If names are missing or repeated, or their number differs from that of channels.
    """
    names = list(names)
    if stack.ndim < 3 or stack.shape[-3] != len(names) or len(set(names)) != len(names):
        raise DataError(
            f"a stack of shape {stack.shape} needs one name for each channel, all different, "
            f"but the names are {', '.join(names)}"
        )
    missing = [name for name in order if name not in names]
    if missing:
        raise DataError(
            f"the channel order {', '.join(order)} needs {', '.join(missing)}, but the channels "
            f"are {', '.join(names)}"
        )
    return np.take(stack, [names.index(name) for name in order], axis=-3)
