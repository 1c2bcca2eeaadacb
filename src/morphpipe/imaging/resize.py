"""Resize fields to a model's input size: crop, squash or tiles."""

from typing import Any

import numpy as np
import numpy.typing as npt
import skimage  # its parts load when used

from morphpipe.core.errors import DataError


def centre_crop(stack: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Crop the central square of a field.

    Parameters
    ----------
    stack
        [C, H, W], any type.
    size
        Height and width of the square in pixels. For odd margins, the smaller half is above and to
        the left.

    Returns
    -------
    numpy.ndarray
        [C, size, size], of the same type.

    Raises
    ------
    DataError
        If the field is smaller than that.
    """
    height, width = _field_size(stack)
    _require_at_least(height, width, size)
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(stack[:, top : top + size, left : left + size])


def squash(stack: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Resize a whole field to a square, whatever its aspect ratio.

    Each new pixel is the mean of the area it covers, which avoids aliasing and preserves the mean
    of the field up to rounding. Smaller fields are enlarged by repeating pixels.

    Parameters
    ----------
    stack
        [C, H, W], uint8, uint16 or floating point.
    size
        Height and width of the square in pixels.

    Returns
    -------
    numpy.ndarray
        [C, size, size], of the same type; integers are rounded half to even.

    Raises
    ------
    DataError
        If the stack is not [C, H, W], is of another type, or the size is not positive.
    """
    _field_size(stack)
    if size < 1:
        raise DataError(f"a field cannot be resized to {size} pixels")
    if stack.dtype not in (np.uint8, np.uint16) and not np.issubdtype(stack.dtype, np.floating):
        raise DataError(f"a field of 8 or 16 bits can be resized, but not {stack.dtype}")
    squashed = np.empty((len(stack), size, size), dtype=stack.dtype)
    for channel, plane in enumerate(stack):
        values = skimage.transform.resize_local_mean(plane.astype(np.float64), (size, size))
        squashed[channel] = values if np.issubdtype(stack.dtype, np.floating) else np.rint(values)
    return squashed


def tiles(stack: npt.NDArray[Any], size: int) -> list[tuple[int, int, npt.NDArray[Any]]]:
    """Cut a field into non-overlapping squares.

    As many as fit, in a centred grid. The remaining margin (H modulo size rows and W modulo size
    columns) is in no tile.

    Parameters
    ----------
    stack
        [C, H, W], any type.
    size
        Height and width of a tile in pixels.

    Returns
    -------
    list
        (row, column, tile), row by row: the tile's place in the grid, counted from 0, and its
        pixels [C, size, size] of the same type. Its upper left pixel is
        ((H modulo size) // 2 + row * size, (W modulo size) // 2 + column * size).

    Raises
    ------
    DataError
        If the field is smaller than one tile.
    """
    height, width = _field_size(stack)
    _require_at_least(height, width, size)
    grid = []
    for row in range(height // size):
        for column in range(width // size):
            top = height % size // 2 + row * size
            left = width % size // 2 + column * size
            # A copy, so that a tile does not keep the whole field in memory.
            grid.append((row, column, stack[:, top : top + size, left : left + size].copy()))
    return grid


def _field_size(stack: npt.NDArray[Any]) -> tuple[int, int]:
    if stack.ndim != 3 or 0 in stack.shape:
        raise DataError(f"a field is a stack [C, H, W], but the shape is {stack.shape}")
    return stack.shape[1], stack.shape[2]


def _require_at_least(height: int, width: int, size: int) -> None:
    if not 1 <= size <= min(height, width):
        raise DataError(
            f"a square of {size} pixels cannot be cut out of a field of {height} x {width}; "
            "choose a smaller size, or squash the field"
        )
