"""The eight flips and quarter turns of a square image (the dihedral group of order eight).

Transform 0 to 7: `transform % 4` quarter turns counter-clockwise and then, from 4, a left-right
flip.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError

TRANSFORMS = range(8)


def _check(transform: int) -> None:
    if transform not in TRANSFORMS:
        raise DataError(f"a dihedral transform is an integer from 0 to 7, not {transform!r}")


def apply(images: npt.NDArray[Any], transform: int) -> npt.NDArray[Any]:
    """Rotate and flip images over their last two axes.

    Parameters
    ----------
    images
        [..., H, W], any type.
    transform
        0 to 7; odd quarter turns swap height and width.

    Returns
    -------
    numpy.ndarray
        [..., H, W] or [..., W, H], contiguous; a copy only if necessary.

    Raises
    ------
    DataError
        If `transform` is not 0 to 7 or the images have fewer than two axes.
    """
    _check(transform)
    images = np.asarray(images)
    if images.ndim < 2:
        raise DataError(f"a dihedral transform needs images [..., H, W], not {images.shape}")
    turned = np.rot90(images, k=transform % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if transform >= 4 else turned)


def inverse(transform: int) -> int:
    """Return the inverse transform: every flip is its own inverse."""
    _check(transform)
    return transform if transform >= 4 else -transform % 4
