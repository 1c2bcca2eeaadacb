"""What turns images into what a generator sees, and back."""

from typing import Protocol

import torch

from morphpipe.config.base import ImageMode

CONFIG = "config.json"


class Autoencoder(Protocol):
    """From images to latents and back: a frozen autoencoder, or the pixels themselves."""

    @property
    def mode(self) -> ImageMode:
        """`channels`: every plane by itself. `rgb`: one image of three planes."""

    @property
    def downsampling(self) -> int:
        """Reduction of height and width."""

    def fingerprint(self) -> str:
        """SHA-256 of all that latents depend on."""

    def latent_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Latent [C', h, w] of a field [C, H, W].

        Raises
        ------
        DataError
            When such a field cannot be encoded.
        """

    def moments(self, images: torch.Tensor) -> torch.Tensor:
        """Mean and standard deviation of the latents of uint8 [N, C, H, W].

        Returns
        -------
        torch.Tensor
            float32 [N, 2, C', h, w], or [N, 1, C', h, w] of means alone, which have no deviation.
        """

    def decode(self, latents: torch.Tensor, image_channels: int) -> torch.Tensor:
        """Fields uint8 [N, C, H, W], on the CPU, from latents [N, C', h, w]."""


def to_unit_range(images: torch.Tensor) -> torch.Tensor:
    """8-bit intensities 0 to 255 as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_8bit(images: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_unit_range`: rounded, clipped to 0 to 255, uint8."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
