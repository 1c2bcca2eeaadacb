"""Loading a codec from its folder, whichever kind it is."""

from pathlib import Path

import torch

from morphpipe.autoencoders.base import Codec
from morphpipe.autoencoders.pixels import load_pixels
from morphpipe.config.base import ImageMode


def load_codec(
    folder: str | Path,
    mode: ImageMode,
    *,
    scaling_factor: float | None = None,
    device: str | torch.device = "cpu",
) -> Codec:
    """Load pixels, or an autoencoder; see `morphpipe.autoencoders.autoencoder.load_autoencoder`."""
    pixels = load_pixels(folder, mode)
    if pixels is not None:
        return pixels
    # diffusers takes seconds to import.
    from morphpipe.autoencoders.autoencoder import load_autoencoder

    return load_autoencoder(folder, mode, scaling_factor=scaling_factor, device=device)
