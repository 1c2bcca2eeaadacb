"""Pixels in place of latents, for generators without an autoencoder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from morphpipe.autoencoders.base import CONFIG, to_8bit, to_unit_range
from morphpipe.config.base import ImageMode
from morphpipe.core.checksums import record_files
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.core.json_files import read_json
from morphpipe.core.storage import write_json

CLASS = "Pixels"
"""What `config.json` calls it, as diffusers calls an autoencoder by its class."""


@dataclass(frozen=True)
class Pixels:
    """Pixels scaled to [-1, 1], a square of them in each place: an exact autoencoder.

    Attributes
    ----------
    mode
        `channels` or `rgb`.
    patch
        Side of the square that becomes one place of patch² times as many channels.
    """

    mode: ImageMode
    patch: int = 1

    @property
    def downsampling(self) -> int:
        """Reduction of height and width."""
        return self.patch

    def fingerprint(self) -> str:
        """SHA-256 of the patch and the mode."""
        return hashlib.sha256(f"{CLASS} {self.patch} {self.mode}".encode()).hexdigest()

    def latent_channels(self, image_channels: int) -> int:
        """Channels of the pixels of one field."""
        return self.patch**2 * (image_channels if self.mode == "channels" else 3)

    def latent_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape [C', h, w] of the pixels of a field [C, H, W].

        Raises
        ------
        DataError
            When height or width is no multiple of the patch, or RGB has not three planes.
        """
        channels, height, width = image_shape
        if height % self.patch or width % self.patch:
            raise DataError(
                f"Fields of {height}x{width} pixels cannot be cut into patches of {self.patch}: "
                "choose another `patch` of the autoencoder."
            )
        if self.mode == "rgb" and channels != 3:
            raise DataError(f"RGB images have three planes, the fields have {channels}.")
        return self.latent_channels(channels), height // self.patch, width // self.patch

    def moments(self, images: torch.Tensor) -> torch.Tensor:
        """Scaled pixels of uint8 [N, C, H, W], and no deviation: float32 [N, 1, C', h, w].

        Raises
        ------
        DataError
            When the images are not of 8 bit, or see `latent_shape`.
        """
        if images.dtype != torch.uint8:
            raise DataError(
                f"Pixels of 8 bit are needed, not {images.dtype}: scale them to 0 to 255 first."
            )
        self.latent_shape((images.shape[1], images.shape[2], images.shape[3]))
        return F.pixel_unshuffle(to_unit_range(images), self.patch)[:, None]

    def decode(self, latents: torch.Tensor, image_channels: int) -> torch.Tensor:
        """Fields uint8 [N, C, H, W], on the CPU, from [N, C', h, w]."""
        return to_8bit(F.pixel_shuffle(latents.cpu(), self.patch))


def save_pixels(folder: str | Path, patch: int) -> None:
    """Write the folder that `morphpipe.autoencoders.load.load_autoencoder` reads."""
    folder = Path(folder)
    write_json({"_class_name": CLASS, "patch": patch}, folder / CONFIG)
    record_files(folder, [CONFIG])


def load_pixels(folder: str | Path, mode: ImageMode) -> Pixels | None:
    """What a folder says of pixels; None where it is an autoencoder's.

    Raises
    ------
    WeightsError
        When the patch is no number.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or content.get("_class_name") != CLASS:
        return None
    patch = content.get("patch")
    if not isinstance(patch, int) or patch < 1:
        raise WeightsError(f"{path} has the patch {patch!r}: let the workflow write it again.")
    return Pixels(mode, patch)
