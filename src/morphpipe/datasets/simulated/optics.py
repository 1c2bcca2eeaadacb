"""From light to an 8-bit image: point-spread blur, haze, illumination, camera."""

from dataclasses import dataclass

import numpy as np
import scipy  # lazy: each start of Snakemake needs only the programmes
from numpy.typing import NDArray

from morphpipe.datasets.simulated.scene import PIXEL_SIZE, Floats

BIT_DEPTH = 8
"""Bits per pixel."""

MARGIN = 10
"""Canvas around the field in pixels, so that light from outside reaches into it."""

# Emission maxima of the six dyes in micrometres (makers' data sheets, rounded).
_WAVELENGTHS = (0.46, 0.52, 0.60, 0.53, 0.67, 0.57)
_NUMERICAL_APERTURE = 0.45
_DEFOCUS = 0.55  # um: blur by the thickness of the cell layer, the same for all colours
_HAZE = 0.14  # fraction of out-of-focus light
_HAZE_WIDTH = 17  # pixels across
_OFFSET = 7.0  # dark level of the camera
_ELECTRONS_PER_GREY = 7.0
_READ_NOISE = 0.9  # grey levels


@dataclass(frozen=True, slots=True)
class PlateOptics:
    """Optics of one plate.

    Attributes
    ----------
    centre_row, centre_column
        Position of maximal illumination, as a fraction of the field (0.5 is its middle).
    falloff
        Fraction of light lost half a field away from there.
    intensity
        Factor per channel, [6].
    """

    centre_row: float
    centre_column: float
    falloff: float
    intensity: tuple[float, ...]

    def illumination(self, size: int) -> Floats:
        """Relative illumination over a field, float32 [size, size], at most 1."""
        place = (np.arange(size, dtype=np.float32) + 0.5) / size
        squared = (place[:, None] - self.centre_row) ** 2 + (place - self.centre_column) ** 2
        return (1 / (1 + 4 * self.falloff * squared)).astype(np.float32)


def draw_plate_optics(generator: np.random.Generator) -> PlateOptics:
    """Draw a plate's illumination and the shift of each channel's intensity (about 8 %)."""
    centre = generator.uniform(0.35, 0.65, 2)
    falloff = generator.uniform(0.06, 0.16)
    intensity = np.exp(0.08 * generator.standard_normal(len(_WAVELENGTHS)))
    return PlateOptics(
        float(centre[0]), float(centre[1]), float(falloff), tuple(map(float, intensity))
    )


def take_image(
    light: Floats, plate: PlateOptics, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Image the light of a canvas.

    The point-spread function in focus is a Gaussian (standard deviation 0.21 wavelength / numerical
    aperture; Zhang, Zerubia and Olivo-Marin, Applied Optics 46, 2007), out-of-focus light a broad
    one; then follow illumination, shot noise, read noise and quantisation.

    Parameters
    ----------
    light : float32 [6, H + 2 MARGIN, W + 2 MARGIN]
        Light in grey levels.

    Returns
    -------
    uint8 [6, H, W]
        The field without its margin.
    """
    field = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    size = light.shape[-1] - 2 * MARGIN
    seen = np.empty((len(light), size, size), np.float32)
    for channel, wavelength in enumerate(_WAVELENGTHS):
        diffraction = 0.21 * wavelength / _NUMERICAL_APERTURE
        width = np.hypot(diffraction, _DEFOCUS) / PIXEL_SIZE
        sharp = scipy.ndimage.gaussian_filter(light[channel], width, mode="nearest", truncate=3)
        haze = scipy.ndimage.uniform_filter(
            scipy.ndimage.uniform_filter(light[channel], _HAZE_WIDTH), _HAZE_WIDTH
        )
        seen[channel] = ((1 - _HAZE) * sharp + _HAZE * haze)[field]
    seen *= plate.illumination(size) * np.asarray(plate.intensity, np.float32)[:, None, None]
    # Shot noise as a Gaussian of the same variance, together with the camera's read noise, which
    # dominates where counts are too low for this approximation.
    variance = seen / _ELECTRONS_PER_GREY + _READ_NOISE**2
    seen += _OFFSET
    noise = generator.standard_normal(seen.shape, dtype=np.float32)
    grey = seen + noise * np.sqrt(variance)
    return np.clip(np.round(grey), 0, 2**BIT_DEPTH - 1).astype(np.uint8)
