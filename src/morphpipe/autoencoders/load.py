"""Loading an autoencoder from its folder, whichever kind it is."""

from pathlib import Path

import torch

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.autoencoders.pixels import load_pixels
from morphpipe.config.base import ImageMode


def load_autoencoder(
    folder: str | Path,
    mode: ImageMode,
    *,
    scaling_factor: float | None = None,
    device: str | torch.device = "cpu",
) -> Autoencoder:
    """Load pixels, or an autoencoder; see `autoencoder.load_kl_autoencoder`."""
    pixels = load_pixels(folder, mode)
    if pixels is not None:
        return pixels
    # diffusers takes seconds to import.
    from morphpipe.autoencoders.autoencoder import load_kl_autoencoder

    return load_kl_autoencoder(folder, mode, scaling_factor=scaling_factor, device=device)
