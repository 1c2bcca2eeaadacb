"""Illumination correction: mean image of many fields, smoothing, and division."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used
import skimage  # its parts load when used

from morphpipe.core.errors import ConfigError, DataError

# Full width at half maximum of a Gaussian, in standard deviations: 2 sqrt(2 ln 2).
FULL_WIDTH = 2.3548


class MeanImage:
    """Running mean of planes, with exact sums.

    Attributes
    ----------
    count
        Number of planes added.
    """

    def __init__(self) -> None:
        self.count = 0
        self._total: npt.NDArray[np.float64] | None = None

    def add(self, plane: npt.NDArray[Any]) -> None:
        """Add one plane, uint8, uint16 or floating point [H, W].

        Raises
        ------
        DataError
            If it is not a plane, has another shape than earlier planes, or is not finite.
        """
        plane = np.asarray(plane)
        if plane.ndim != 2:
            raise DataError(
                f"a mean image is made of planes [H, W], but the shape is {plane.shape}"
            )
        if not np.isfinite(plane).all():
            raise DataError("a mean image needs planes with finite values")
        if self._total is None:
            self._total = np.zeros(plane.shape)
        if plane.shape != self._total.shape:
            raise DataError(
                f"a mean image is made of planes of one shape, but a plane of {plane.shape} "
                f"follows planes of {self._total.shape}; correct fields of each shape separately"
            )
        self._total += plane
        self.count += 1

    def mean(self) -> npt.NDArray[np.float64]:
        """Return the mean of the planes added so far, float64 [H, W]; DataError without any."""
        if self._total is None:
            raise DataError("there is no mean image, since no plane was added")
        return self._total / self.count


def illumination_function(
    mean: npt.NDArray[Any],
    *,
    sigma: float = 500.0,
    floor_quantile: float = 0.02,
    method: Literal["gaussian", "median"] = "gaussian",
) -> npt.NDArray[np.float32]:
    """Compute the illumination function from the mean image of fields.

    The mean image is smoothed, clipped below at its robust minimum, and divided by that minimum, as
    in CellProfiler's CorrectIlluminationCalculate with rescaling. The function is therefore at
    least 1, and corrected values never exceed the raw ones.

    For BBBC021, pybbbc (github.com/giacomodeodato/pybbbc) makes one function per plate, channel and
    site: Gaussian, sigma 500 px, "0.02 percentile". Ambiguities there:

    * CellProfiler's robust minimum is the quantile 0.02 (its constant says "2nd percentile").
      pybbbc passes 0.02 to `numpy.percentile`, which is the quantile 0.0002. The default here
      is CellProfiler's; `floor_quantile=0.0002` is pybbbc's.
    * pybbbc's text takes the minimum of the mean image, its code that of the positive values of the
      smoothed image, as here.
    * The boundary condition is not given. Here the field is mirrored (with the edge pixel
      repeated), which is the default of the function used by pybbbc.
    * pybbbc rounds the smoothed image to half precision, unlike here.

    Parameters
    ----------
    mean
        [H, W], not negative, in grey values.
    sigma
        Standard deviation of the Gaussian in pixels, above 0. The median's window is a square
        with the Gaussian's full width at half maximum, 2.35 sigma, as its side.
    floor_quantile
        The robust minimum as a quantile (0 to 1) of the smoothed image's positive values.
    method
        `gaussian`, or `median`, which is more robust to bright specks.

    Returns
    -------
    numpy.ndarray
        float32 [H, W], at least 1.

    Raises
    ------
    DataError
        If the mean image is not a plane, has negative or non-finite values, or is 0 everywhere.
    ConfigError
        If a setting is out of range.
    """
    mean = np.asarray(mean, dtype=np.float64)
    if mean.ndim != 2 or not np.isfinite(mean).all() or (mean < 0).any():
        raise DataError(
            "an illumination function needs a mean image [H, W] of finite, non-negative values, "
            "but this one of shape {mean.shape} is not"
        )
    if not mean.any():
        raise DataError(
            "the mean image is 0 everywhere, so there is no illumination to correct; check that "
            "the channel has images"
        )
    if not 0 < sigma < np.inf:
        raise ConfigError(f"the smoothing of a mean image needs a sigma above 0, not {sigma}")
    if not 0 <= floor_quantile <= 1:
        raise ConfigError(f"floor_quantile is a quantile from 0 to 1, not {floor_quantile}")
    if method == "gaussian":
        smooth = _smooth_gaussian(mean, sigma)
    elif method == "median":
        smooth = _smooth_median(mean, sigma)
    else:
        raise ConfigError(f"the smoothing must be gaussian or median, not {method!r}")
    if not (smooth > 0).any():
        raise DataError(
            "the median-filtered mean image is 0, since more than half of the mean image is 0; use "
            "the Gaussian"
        )
    floor = np.quantile(smooth[smooth > 0], floor_quantile)
    return (np.maximum(smooth, floor) / floor).astype(np.float32)


def correct_illumination(
    plane: npt.NDArray[Any], function: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """Divide a plane by its illumination function.

    Parameters
    ----------
    plane
        [H, W], in grey values.
    function
        [H, W], positive. Third-party functions, e.g. the Cell Painting Gallery's `.npy` files, need
        not have a minimum of 1: below 1, corrected values exceed the raw ones.

    Returns
    -------
    numpy.ndarray
        float32 [H, W], in grey values, neither rounded nor clipped.

    Raises
    ------
    DataError
        If the shapes differ, or the function is not positive and finite everywhere.
    """
    plane, function = np.asarray(plane), np.asarray(function)
    if plane.ndim != 2 or plane.shape != function.shape:
        raise DataError(
            f"a plane of shape {plane.shape} cannot be divided by an illumination function of "
            f"shape {function.shape}; the function must be made from fields of the same size"
        )
    if not np.isfinite(function).all() or not (function > 0).all():
        raise DataError(
            "the illumination function has values that are not finite or not positive; compute it "
            "again"
        )
    return (plane / function).astype(np.float32)


def _smooth_gaussian(mean: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Convolve the mirrored image with a Gaussian, by its cosine transform.

    Unlike a direct convolution, which takes seconds for sigma 500, its time is independent of
    sigma.
    """
    spectrum = scipy.fft.dctn(mean, type=2)
    for axis, length in enumerate(mean.shape):
        frequency = np.pi * np.arange(length) / length
        response = np.exp(-0.5 * (sigma * frequency) ** 2)
        spectrum *= np.expand_dims(response, 1 - axis)
    # Rounding may give tiny negative values where the image is 0.
    return np.maximum(scipy.fft.idctn(spectrum, type=2), 0)


def _smooth_median(mean: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    factor = max(1.0, sigma / 8)
    reduced_shape = tuple(max(1, round(length / factor)) for length in mean.shape)
    reduced = skimage.transform.resize_local_mean(mean, reduced_shape)
    window = max(1, round(FULL_WIDTH * sigma / factor))
    smooth = scipy.ndimage.median_filter(reduced, size=window, mode="reflect")
    return skimage.transform.resize(smooth, mean.shape, order=1, mode="edge", anti_aliasing=False)
