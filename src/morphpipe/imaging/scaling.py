"""Scale camera grey values to integers of 8 or 16 bits."""

from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import ConfigError, DataError

HIGHEST = 65535


class IntensityHistogram:
    """Streaming histogram of grey values from 0 to 65535, for the percentiles of a whole plate.

    Values are rounded to the nearest grey value, so memory is constant.

    Attributes
    ----------
    counts
        int64 [65536], counts of grey values.
    """

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(HIGHEST + 1, dtype=np.int64)
        self._minimum = np.inf
        self._maximum = -np.inf

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values of any shape and type.

        Raises
        ------
        DataError
            If a value is below 0, above 65535 or not finite.
        """
        values = np.asarray(values).ravel()
        if not values.size:
            return
        lowest, highest = float(values.min()), float(values.max())
        # Written so that NaN is rejected too.
        if not (lowest >= 0 and highest <= HIGHEST):
            raise DataError(
                f"grey values must be from 0 to {HIGHEST}, but these are from {lowest} to {highest}"
            )
        if not np.issubdtype(values.dtype, np.integer):
            values = np.rint(values).astype(np.int64)
        self.counts += np.bincount(values, minlength=HIGHEST + 1)
        self._minimum = min(self._minimum, lowest)
        self._maximum = max(self._maximum, highest)

    @property
    def minimum(self) -> float:
        """The lowest value added, not rounded; DataError if empty."""
        self._require_values()
        return self._minimum

    @property
    def maximum(self) -> float:
        """The highest value added, not rounded; DataError if empty."""
        self._require_values()
        return self._maximum

    def percentile(self, q: float) -> float:
        """Return the percentile `q` (0 to 100), linear between neighbouring values.

        It equals `numpy.percentile` for integers, and is within 0.5 of it for rounded values.

        Raises
        ------
        DataError
            If nothing was added.
        ConfigError
            If `q` is not between 0 and 100.
        """
        self._require_values()
        if not 0 <= q <= 100:
            raise ConfigError(f"a percentile must be between 0 and 100, not {q}")
        cumulative = np.cumsum(self.counts)
        rank = q / 100 * (int(cumulative[-1]) - 1)
        below, above = np.searchsorted(cumulative, [np.floor(rank), np.ceil(rank)], side="right")
        return float(below + (above - below) * (rank - np.floor(rank)))

    def _require_values(self) -> None:
        if not np.isfinite(self._minimum):
            raise DataError("the histogram is empty and has no percentile or range")


def scale_to_window(
    plane: npt.NDArray[Any], window: tuple[float, float], *, bit_depth: int = 8
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Map an intensity window to the whole range of a bit depth.

    clip((x - low) / (high - low), 0, 1) * (2^bits - 1), rounded half to even.

    Parameters
    ----------
    plane
        Any shape, in grey values.
    window
        The grey values mapped to 0 and the maximum.
    bit_depth
        1 to 16.

    Returns
    -------
    numpy.ndarray
        The plane's shape; uint8 up to 8 bits, uint16 above.

    Raises
    ------
    DataError
        If the window's upper end is not above its lower one, or a value is not finite.
    ConfigError
        If the bit depth is out of range.
    """
    low, high = window
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        raise DataError(
            f"the intensity window from {low} to {high} is empty; the channel may hold no signal"
        )
    if not 1 <= bit_depth <= 16:
        raise ConfigError(f"a bit depth must be from 1 to 16, not {bit_depth}")
    plane = np.asarray(plane)
    if not np.isfinite(plane).all():
        raise DataError("a plane with values that are not finite cannot be scaled")
    share = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1)
    scaled = np.rint(share * (2**bit_depth - 1))
    return scaled.astype(np.uint8) if bit_depth <= 8 else scaled.astype(np.uint16)


def scale_minmax(plane: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Map a plane's minimum and maximum to 0 and 255, rounded.

    MorphoDiff's notebook for Rohban et al. scales each image and channel this way. It removes
    differences in brightness between fields, and is provided to reproduce that paper.

    Raises
    ------
    DataError
        If the plane is constant: an empty field must not become an image.
    """
    plane = np.asarray(plane)
    if not plane.size or plane.min() == plane.max():
        raise DataError(
            "the plane holds the same value everywhere and has no range to scale; leave the "
            "field out, or scale with a window of the whole plate"
        )
    return scale_to_window(plane, (float(plane.min()), float(plane.max()))).astype(np.uint8)


def subtract_background(plane: npt.NDArray[Any], percentile: float) -> npt.NDArray[np.float32]:
    """Subtract a percentile of the plane's values; negative results become 0.

    Parameters
    ----------
    plane
        Any shape, in grey values.
    percentile
        0 to 100, linear between neighbouring values.

    Returns
    -------
    numpy.ndarray
        float32, the plane's shape, in grey values above the background.

    Raises
    ------
    DataError
        If a value is not finite.
    ConfigError
        If the percentile is not between 0 and 100.
    """
    if not 0 <= percentile <= 100:
        raise ConfigError(f"a percentile must be between 0 and 100, not {percentile}")
    plane = np.asarray(plane, dtype=np.float64)
    if not np.isfinite(plane).all():
        raise DataError("a plane with values that are not finite has no background to subtract")
    return np.maximum(plane - np.percentile(plane, percentile), 0).astype(np.float32)
