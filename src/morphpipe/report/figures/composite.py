"""One field as a colour picture: the rule that all pictures for display share."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from morphpipe.imaging.rgb import RGB_CHANNELS
from morphpipe.tables.manifest import ChannelManifest

WINDOW_PERCENTILE = 99.5
# Red, green and blue where the data name no channels of their own and have these.
_NAMED = ("actin", "ER", "DNA")


def composite_channels(manifest: ChannelManifest) -> tuple[str, ...]:
    """Channels shown as red, green and blue: the data's own, else actin, ER, DNA, else the first.

    Returns
    -------
    tuple of str
        Three names, or as many as there are.
    """
    if manifest.rgb is not None:
        return manifest.rgb
    names = manifest.names
    return _NAMED if set(_NAMED) <= set(names) else names[:3]


def white_levels(
    images: Iterable[NDArray[np.generic]], manifest: ChannelManifest
) -> dict[str, float]:
    """Grey value of each channel that is shown as white.

    Parameters
    ----------
    images
        uint8 or uint16 [C, H, W], at least one; their sizes may differ.
    manifest
        Of the C channels.

    Returns
    -------
    dict
        The 99.5th percentile of each channel over all images, at least 1. Of images that are RGB
        already 255, so that they are shown as they are.
    """
    if manifest.names == RGB_CHANNELS:
        return dict.fromkeys(RGB_CHANNELS, 255.0)
    pixels = np.concatenate([image.reshape(len(image), -1) for image in images], axis=1)
    return {
        name: max(float(np.percentile(plane, WINDOW_PERCENTILE)), 1.0)
        for name, plane in zip(manifest.names, pixels, strict=True)
    }


def stretched(plane: NDArray[np.generic], white: float) -> NDArray[np.uint8]:
    """Grey values from 0 to `white` as 0 to 255, clipped."""
    scaled = np.clip(plane.astype(np.float32) / white, 0, 1) * 255
    return np.round(scaled).astype(np.uint8)


def composite(
    stack: NDArray[np.generic], manifest: ChannelManifest, white: Mapping[str, float]
) -> NDArray[np.uint8]:
    """Show one field in colour, for display only.

    Parameters
    ----------
    stack
        uint8 or uint16 [C, H, W].
    manifest
        Of the C channels; see `composite_channels`.
    white
        See `white_levels`; a channel that is not in it is shown as it is, 255 as white.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W, 3]. A field of one channel is grey; of two channels blue is missing.
    """
    names = composite_channels(manifest)
    planes = [stretched(stack[manifest.names.index(n)], white.get(n, 255.0)) for n in names]
    while len(planes) < 3:
        planes.append(planes[-1] if len(names) == 1 else np.zeros_like(planes[0]))
    return np.stack(planes, axis=-1)
