"""Encode images to latents and decode them with diffusers' AutoencoderKL, as RGB or per channel."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models import AutoencoderKL
from safetensors import SafetensorError

from morphpipe.autoencoders.base import CONFIG, to_8bit, to_unit_range
from morphpipe.config.base import ImageMode
from morphpipe.core.checksums import check_recorded
from morphpipe.core.devices import computes_bfloat16
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.core.finite import check_finite
from morphpipe.core.json_files import read_json

WEIGHTS = "diffusion_pytorch_model.safetensors"

# Pixels per pass on a CPU: with more, activations exceed its caches, which makes a plane 1.5 times
# as slow (docs/training.md).
_CPU_PIXELS = 2**17


@dataclass
class KLAutoencoder:
    """A frozen autoencoder and the normalisation of its latents.

    Attributes
    ----------
    model
        The network, on its device, in evaluation mode.
    mode
        `channels`: every plane is stacked three times and encoded separately, and the latents are
        concatenated; decoding averages the three planes (MorphGen, section 3). `rgb`: one image of
        three planes.
    mean, std
        [latent channels of one image]: latents are (z - mean) / std. Stable Diffusion's
        scaling factor 0.18215 is mean 0, std 1 / 0.18215.
    half
        Compute in bfloat16.
    """

    model: AutoencoderKL
    mode: ImageMode
    mean: torch.Tensor
    std: torch.Tensor
    half: bool = False

    @property
    def downsampling(self) -> int:
        """Downsampling factor of height and width."""
        return int(2 ** (len(self.model.config["block_out_channels"]) - 1))

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.model.parameters()).device

    def fingerprint(self) -> str:
        """SHA-256 of the weights, the mode and the normalisation."""
        digest = hashlib.sha256(self.mode.encode())
        for tensor in (*self.model.state_dict().values(), self.mean, self.std):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def latent_channels(self, image_channels: int) -> int:
        """Latent channels of one field."""
        per_image = int(self.model.config["latent_channels"])
        return per_image * (image_channels if self.mode == "channels" else 1)

    def latent_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Latent [C', h, w] of a field [C, H, W].

        Raises
        ------
        DataError
            If height or width is not a multiple of the downsampling factor.
        """
        channels, height, width = image_shape
        factor = self.downsampling
        if height % factor or width % factor:
            raise DataError(
                f"Fields of {height}x{width} pixels cannot be encoded: both have to be multiples "
                f"of {factor}."
            )
        if self.mode == "rgb" and channels != 3:
            raise DataError(f"An RGB autoencoder takes three planes, the fields have {channels}.")
        return self.latent_channels(channels), height // factor, width // factor

    @torch.inference_mode()
    def moments(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images to the mean and standard deviation of normalised latents.

        Parameters
        ----------
        images
            uint8 [N, C, H, W].

        Returns
        -------
        torch.Tensor
            float32 [N, 2, C', h, w]; index 0 the means, 1 the standard deviations.

        Raises
        ------
        DataError
            If the images are not 8-bit, or see `latent_shape`.
        """
        if images.dtype != torch.uint8:
            raise DataError(
                f"The autoencoder takes 8-bit images, not {images.dtype}: scale them to 0 to 255 "
                "first."
            )
        number, channels, height, width = images.shape
        shape = self.latent_shape((channels, height, width))
        planes = to_unit_range(images.to(self.device))
        if self.mode == "channels":
            planes = planes.reshape(number * channels, 1, height, width).expand(-1, 3, -1, -1)
        means, deviations = [], []
        for part in self._parts(planes, height * width):
            with self._precision():
                posterior = self.model.encode(part).latent_dist
            means.append(posterior.mean.float())
            deviations.append(posterior.std.float())
        mean = (torch.cat(means) - self._column(self.mean)) / self._column(self.std)
        std = torch.cat(deviations) / self._column(self.std)
        return torch.stack([mean.reshape(number, *shape), std.reshape(number, *shape)], dim=1)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, image_channels: int) -> torch.Tensor:
        """Decode latents to fields.

        Parameters
        ----------
        latents
            [N, C', h, w], normalised.
        image_channels
            C.

        Returns
        -------
        torch.Tensor
            uint8 [N, C, H, W], on the CPU.
        """
        number = latents.shape[0]
        per_image = int(self.model.config["latent_channels"])
        latents = latents.to(self.device, torch.float32)
        latents = latents.reshape(-1, per_image, *latents.shape[2:])
        latents = latents * self._column(self.std) + self._column(self.mean)
        decoded = []
        pixels = latents.shape[2] * latents.shape[3] * self.downsampling**2
        for part in self._parts(latents, pixels):
            with self._precision():
                planes = self.model.decode(part).sample.float()
            if self.mode == "channels":
                planes = planes.mean(dim=1, keepdim=True)
            decoded.append(to_8bit(planes).cpu())
        images = torch.cat(decoded)
        return images.reshape(number, image_channels, *images.shape[2:])

    def _parts(self, planes: torch.Tensor, pixels: int) -> Sequence[torch.Tensor]:
        """Split planes of the given number of pixels into parts for the network."""
        at_once = max(_CPU_PIXELS // pixels, 1) if self.device.type == "cpu" else len(planes)
        return [
            part.contiguous(memory_format=torch.channels_last) for part in planes.split(at_once)
        ]

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def _column(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.device, torch.float32)[None, :, None, None]


def load_kl_autoencoder(
    folder: str | Path,
    mode: ImageMode,
    *,
    scaling_factor: float | None = None,
    device: str | torch.device = "cpu",
) -> KLAutoencoder:
    """Load an AutoencoderKL in diffusers' layout.

    It computes in float32, or in bfloat16 if the device supports it and the weights' configuration
    allows it (`force_upcast: false`, as for autoencoders trained by the workflow).

    Parameters
    ----------
    folder
        Folder with `config.json` and `diffusion_pytorch_model.safetensors`, or a pipeline's folder
        with these in `vae/`.
    mode
        See `KLAutoencoder`.
    scaling_factor
        Overrides the one in `config.json`.
    device
        Device of the network.

    Raises
    ------
    WeightsError
        If a file is missing, does not fit, or is not finite.
    DataError
        If a file differs from its record.
    """
    folder = Path(folder)
    if (folder / "vae" / "config.json").is_file():
        folder = folder / "vae"
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder / name} is missing: an AutoencoderKL needs {CONFIG} and {WEIGHTS} in one "
                "folder."
            )
        check_recorded(folder / name)
    try:
        # diffusers reads it without limits.
        read_json(folder / CONFIG)
        # diffusers' loader converts the older names of attention tensors in
        # stabilityai/sd-vae-ft-mse.
        model, found = AutoencoderKL.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (RuntimeError, ValueError, TypeError, OSError, SafetensorError) as error:
        raise WeightsError(
            f"The weights in {folder} cannot be read or do not fit their config.json: "
            f"{str(error)[:300]}"
        ) from None
    faults = [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]
    if faults:
        raise WeightsError(
            f"The weights in {folder} do not fit their config.json: {len(faults)} tensors are "
            f"missing, unknown or of another shape, e.g. {faults[0]}."
        )
    check_finite(model.state_dict(), folder / WEIGHTS)
    config = model.config
    model.float().requires_grad_(False).eval().to(device)
    model.to(memory_format=torch.channels_last)
    channels = int(config["latent_channels"])
    half = not config["force_upcast"] and computes_bfloat16(torch.device(device))
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if scaling_factor is None and mean is not None and std is not None:
        return KLAutoencoder(model, mode, torch.tensor(mean), torch.tensor(std), half)
    factor = config.get("scaling_factor", 0.18215) if scaling_factor is None else scaling_factor
    return KLAutoencoder(
        model, mode, torch.zeros(channels), torch.full((channels,), 1 / factor), half
    )
