"""Quality of raw fields: focus, saturation, contrast, debris, nuclei; and reasons for rejection.

The measures follow Bray et al., J. Biomol. Screen. 17:266 (2012), where defined there, and apply to
raw planes, before any correction or scaling.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used
import skimage  # its parts load when used

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.imaging.nuclei import nucleus_centres, segment_nuclei

LIMITS = ("min_focus", "max_saturation", "min_contrast", "max_debris", "min_nuclei")

# Below this side the fitted part of the spectrum has fewer than two rings.
SMALLEST_SIDE = 32
# Standard score of the 99.9th percentile of a normal distribution: the level of pure noise.
NOISE_SCORE = 3.0902
# Noise of rounding to grey values, the minimum for any plane.
ROUNDING_NOISE = 12**-0.5
# Contrast below which a nuclear channel is empty. Skewed noise (few photons) reaches 1.
EMPTY_CONTRAST = 3.0
# Maxima of cameras with 10, 12 and 14 bits.
_CAMERA_MAXIMA = (1023, 4095, 16383)
# Threshold of debris: distance from the median in units of that of the upper quartile.
DEBRIS_FACTOR = 10


def measure_quality(
    stack: npt.NDArray[Any],
    channels: Sequence[str],
    *,
    nuclear: str | None,
    maximum: int | None = None,
) -> dict[str, float]:
    """Measure one raw field.

    Parameters
    ----------
    stack
        uint8 or uint16 [C, H, W], at least 32 pixels high and wide.
    channels
        Names of the C channels.
    nuclear
        Name of the nuclear channel, or None.
    maximum
        The grey value at which the camera saturates; None for the plane's maximum if that is the
        highest of 10, 12 or 14 bits, stored in 16, else the highest of the type.

    Returns
    -------
    dict
        For each channel:

        `focus_<channel>`
            Slope of the logarithm of power over the logarithm of spatial frequency, see
            `power_spectrum_slope`; less negative is sharper. NaN for a constant plane. White
            noise has about 1: the focus of a field without cells says nothing.
        `saturation_<channel>`
            Share (0 to 1) of the pixels at or above `maximum`.
        `contrast_<channel>`
            (99.9th percentile - median) / noise - 3.09, and not below 0: how far the brightest
            thousandth stands above the background, in standard deviations of the noise, beyond
            what normal noise itself reaches. About 0 for noise alone. The noise is Immerkaer's
            estimate (Comput. Vis. Image Underst. 64:300, 1996), at least that of rounding; it is
            of neighbouring pixels, so fields that were interpolated, compressed or unevenly lit
            are above 0 when empty: take the limit from one's own empty fields.
        `debris_<channel>`
            Share (0 to 1) of the field that the largest connected region (8 neighbours) of very
            bright pixels covers: a fibre or dust. Very bright is at or above `maximum`, or 10
            times as far above the median as the upper quartile (or the noise, where that is
            more) is. Where few cells are in a dark field this is the largest cell or clump;
            debris over more than a quarter of the field goes unseen unless it saturates.

        And where there is a nuclear channel:

        `foreground_<nuclear>`
            Share (0 to 1) of the pixels above Otsu's threshold.
        `nuclei`
            Number of regions of `segment_nuclei` with its defaults; touching nuclei are one.

        Both are 0 where the contrast of that channel is below 3, for there Otsu's threshold
        would split noise.

    Raises
    ------
    DataError
        If the stack is invalid, or names and channels do not match.
    """
    stack = np.asarray(stack)
    if stack.dtype not in (np.uint8, np.uint16) or stack.ndim != 3:
        raise DataError(
            "the quality of raw fields is measured, uint8 or uint16 [C, H, W], but this stack is "
            f"{stack.dtype} of shape {stack.shape}"
        )
    if min(stack.shape[1:]) < SMALLEST_SIDE:
        raise DataError(
            f"a field of {stack.shape[1]} x {stack.shape[2]} pixels is too small for its focus to "
            f"be measured, which takes {SMALLEST_SIDE}"
        )
    if len(channels) != len(stack) or len(set(channels)) != len(channels):
        raise DataError(
            f"a field of {len(stack)} channels needs as many names, all different, but they are "
            f"{', '.join(channels)}"
        )
    if nuclear is not None and nuclear not in channels:
        raise DataError(
            f"nuclei cannot be counted in {nuclear}, for the channels are {', '.join(channels)}"
        )
    quality = {}
    for channel, plane in zip(channels, stack, strict=True):
        values = plane.astype(np.float32)
        top = _camera_maximum(plane) if maximum is None else maximum
        noise = max(_noise(values), ROUNDING_NOISE)
        median, quartile, bright = np.percentile(plane, (50, 75, 99.9))
        contrast = max((bright - median) / noise - NOISE_SCORE, 0.0)
        very_bright = min(median + DEBRIS_FACTOR * max(quartile - median, noise), top)
        quality[f"focus_{channel}"] = power_spectrum_slope(values)
        quality[f"saturation_{channel}"] = float(np.mean(plane >= top))
        quality[f"contrast_{channel}"] = float(contrast)
        quality[f"debris_{channel}"] = _largest_region(plane >= very_bright)
        if channel == nuclear:
            empty = contrast < EMPTY_CONTRAST
            quality[f"foreground_{channel}"] = (
                0.0 if empty else float(np.mean(plane > skimage.filters.threshold_otsu(plane)))
            )
            quality["nuclei"] = 0.0 if empty else float(len(nucleus_centres(segment_nuclei(plane))))
    return quality


def _camera_maximum(plane: npt.NDArray[Any]) -> int:
    highest = int(plane.max())
    if plane.dtype == np.uint16 and highest in _CAMERA_MAXIMA:
        return highest
    return int(np.iinfo(plane.dtype).max)


def power_spectrum_slope(plane: npt.NDArray[Any]) -> float:
    """Fit the log-log slope of the power spectrum, a measure of focus.

    CellProfiler's PowerLogLogSlope (MeasureImageQuality; Bray et al. 2012, after Field and Brady,
    Vision Res. 37:3367, 1997): the power in rings of one frequency step is summed, and its
    logarithm fitted over that of the ring's outer radius, for frequencies up to an eighth of the
    sampling. Two departures: frequencies are mirrored about zero, where CellProfiler is off by one
    step on half of the spectrum, and for non-square fields they are counted in cycles per shorter
    side along both axes.

    Parameters
    ----------
    plane
        [H, W], at least 32 pixels high and wide.

    Returns
    -------
    float
        NaN for a plane without power there, such as a constant one.
    """
    plane = np.asarray(plane, dtype=np.float32)
    rings, weights = _rings(plane.shape)
    # Subtract the mean, by far the largest term: single precision has seven digits.
    spectrum = scipy.fft.rfft2(plane - plane.mean(dtype=np.float64).astype(np.float32))
    power = np.abs(spectrum[rings > 0]) ** 2
    total = np.bincount(rings[rings > 0], weights=power * weights[rings > 0])
    numbers = np.flatnonzero(total)
    if len(numbers) < 2 or plane.min() == plane.max():
        return float("nan")
    slope, _ = np.polyfit(np.log(numbers), np.log(total[numbers]), 1)
    return float(slope)


def reasons(quality: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """Describe which limits a field violates.

    Parameters
    ----------
    quality
        As from `measure_quality`.
    limits
        Any of `min_focus`, `max_saturation` (share), `min_contrast`, `max_debris` (share), each
        for every channel, and `min_nuclei`. A field at its limit passes.

    Returns
    -------
    list of str
        One sentence each, empty for a good field. A focus that could not be measured (a constant
        plane) violates any limit.

    Raises
    ------
    ConfigError
        If a limit is unknown, or nuclei are limited but were not counted.
    """
    unknown = sorted(set(limits) - set(LIMITS))
    if unknown:
        raise ConfigError(
            f"unknown quality limit {', '.join(unknown)}; choose from {', '.join(LIMITS)}"
        )
    if "min_nuclei" in limits and "nuclei" not in quality:
        raise ConfigError(
            "min_nuclei is set but nuclei were not counted; name the nuclear channel, or take the "
            "limit away"
        )
    found = []
    for name, value in quality.items():
        measure, _, channel = name.partition("_")
        lower, upper = limits.get(f"min_{measure}"), limits.get(f"max_{measure}")
        # Written so that NaN violates every limit.
        if lower is not None and not value >= lower:
            found.append(_too_low(measure, channel, value, lower))
        if upper is not None and not value <= upper:
            found.append(_too_high(measure, channel, value, upper))
    return found


def _too_low(measure: str, channel: str, value: float, limit: float) -> str:
    if measure == "nuclei":
        return f"{value:.0f} nuclei were found (limit {limit:.0f})"
    if measure == "focus" and np.isnan(value):
        return f"{channel}: the focus cannot be measured, for the plane is constant or nearly so"
    return f"{channel}: the {measure} is {value:.3g} (limit {limit:.3g})"


def _too_high(measure: str, channel: str, value: float, limit: float) -> str:
    value, limit = 100 * value, 100 * limit
    if measure == "saturation":
        return f"{channel}: {value:.3g} % of the pixels are saturated (limit {limit:.3g} %)"
    return f"{channel}: one bright object covers {value:.3g} % of the field (limit {limit:.3g} %)"


def _noise(values: npt.NDArray[np.float32]) -> float:
    """Estimate the noise's standard deviation from second differences along both axes."""
    differences = values[2:] - 2 * values[1:-1] + values[:-2]
    differences = differences[:, 2:] - 2 * differences[:, 1:-1] + differences[:, :-2]
    # The kernel's squares sum to 36, and a normal variable's mean modulus is sqrt(2 / pi).
    return float(np.abs(differences).mean(dtype=np.float64) * np.sqrt(np.pi / 2) / 6)


def _largest_region(mask: npt.NDArray[np.bool_]) -> float:
    regions, count = scipy.ndimage.label(mask, structure=np.ones((3, 3)))
    return float(np.bincount(regions.ravel())[1:].max() / mask.size) if count else 0.0


@lru_cache(maxsize=8)
def _rings(shape: tuple[int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Number the rings of a half spectrum (0 if unused), and weight its columns."""
    height, width = shape
    side = min(shape)
    rows, columns = scipy.fft.fftfreq(height) * side, scipy.fft.rfftfreq(width) * side
    rings = np.floor(np.hypot(rows[:, None], columns)).astype(np.int64) + 1
    rings[(rings < 2) | (rings >= side // 8)] = 0
    # All columns but the first also represent their mirror images; the last is never used.
    weights = np.full(rings.shape, 2.0)
    weights[:, 0] = 1
    return rings, weights
