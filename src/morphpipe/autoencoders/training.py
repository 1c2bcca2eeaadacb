"""Train a small AutoencoderKL on the planes of a dataset."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers.models import AutoencoderKL
from numpy.typing import NDArray
from scipy.fft import dct
from torch.nn import functional
from tqdm import trange

from morphpipe.autoencoders.autoencoder import to_unit_range
from morphpipe.config.base import ImageMode
from morphpipe.config.networks import TrainedAutoencoder
from morphpipe.core.devices import computes_bfloat16
from morphpipe.core.errors import DataError, TrainingError
from morphpipe.core.storage import atomic_path
from morphpipe.imaging.dihedral import apply

# Variance of rounding to 8 bits, with intensities from -1 to 1.
ROUNDING_VARIANCE = (2 / 255) ** 2 / 12


@dataclass
class AutoencoderTraining:
    """A trained autoencoder with its history.

    Attributes
    ----------
    model
        In evaluation mode; its configuration has the mean and deviation of its latents.
    history
        One entry per logged step: `step`, `loss`, `mse`, `kl`.
    """

    model: AutoencoderKL
    history: list[dict[str, float]] = field(default_factory=list)


def _crops(
    images: NDArray[np.uint8], random: np.random.Generator, number: int, size: int
) -> torch.Tensor:
    """Random, rotated crops of images: float32 [number, 3, size, size] from -1 to 1.

    From images [N, C, H, W], each crop has one plane, stacked three times.
    """
    crops = np.empty((number, 1, size, size), np.uint8)
    fields = random.integers(len(images), size=number)
    channels = random.integers(images.shape[1], size=number)
    tops = random.integers(images.shape[2] - size + 1, size=number)
    lefts = random.integers(images.shape[3] - size + 1, size=number)
    transforms = random.integers(8, size=number)
    for i in range(number):
        plane = images[fields[i], channels[i]]
        crop = plane[tops[i] : tops[i] + size, lefts[i] : lefts[i] + size]
        crops[i, 0] = apply(crop, int(transforms[i]))
    return to_unit_range(torch.from_numpy(crops)).expand(-1, 3, -1, -1)


def _rgb_crops(
    images: NDArray[np.uint8], random: np.random.Generator, number: int, size: int
) -> torch.Tensor:
    """Random, rotated crops of RGB images: float32 [number, 3, size, size] from -1 to 1."""
    crops = np.empty((number, 3, size, size), np.uint8)
    fields = random.integers(len(images), size=number)
    tops = random.integers(images.shape[2] - size + 1, size=number)
    lefts = random.integers(images.shape[3] - size + 1, size=number)
    transforms = random.integers(8, size=number)
    for i in range(number):
        crop = images[fields[i], :, tops[i] : tops[i] + size, lefts[i] : lefts[i] + size]
        crops[i] = apply(crop, int(transforms[i]))
    return to_unit_range(torch.from_numpy(crops))


def _rate(step: int, steps: int) -> float:
    """Factor of the learning rate: 100 steps of warm-up, then cosine decay to 0."""
    return min((step + 1) / 100, 1.0) * (1 + math.cos(math.pi * step / steps)) / 2


def _texture_filters() -> torch.Tensor:
    """The eight non-constant 3x3 cosine filters: float32 [8, 1, 3, 3]."""
    rows = dct(np.eye(3), norm="ortho", axis=0)
    filters = np.einsum("ai,bj->abij", rows, rows).reshape(9, 1, 3, 3)
    return torch.from_numpy(filters[1:]).float()


def texture_energies(planes: torch.Tensor) -> list[torch.Tensor]:
    """Compute log texture energies: local mean squares of detail at three scales.

    The plane is reduced by 1, 2 and 4, filtered by the non-constant 3x3 cosine transform (Unser
    1986, Signal Processing 11, 61-79), squared, and averaged over windows of 9, 5 and 3 pixels. The
    minimum energy is that of rounding to 8 bits.

    Parameters
    ----------
    planes
        float [N, 1, H, W] from -1 to 1; of at least 12 pixels.

    Returns
    -------
    list of torch.Tensor
        Natural logarithms, float [N, 8, h, w] for each reduction.
    """
    filters = _texture_filters().to(planes)
    energies = []
    for reduction, window in ((1, 9), (2, 5), (4, 3)):
        reduced = functional.avg_pool2d(planes, reduction)
        squares = functional.conv2d(reduced, filters).square()
        window = min(window, *squares.shape[2:])
        local = functional.avg_pool2d(squares, window, max(window // 2, 1))
        energies.append((local + ROUNDING_VARIANCE).log())
    return energies


def _texture_difference(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    pairs = zip(texture_energies(output), texture_energies(target), strict=True)
    return torch.stack([functional.mse_loss(found, wanted) for found, wanted in pairs]).mean()


def _planes(images: torch.Tensor, mode: ImageMode) -> torch.Tensor:
    """Single planes [N, 1, H, W] of images [n, 3, H, W]: their means, or red, green and blue."""
    if mode == "rgb":
        return images.flatten(0, 1).unsqueeze(1)
    return images.mean(dim=1, keepdim=True)  # as in `Autoencoder.decode`


def _edges(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return images.diff(dim=-2), images.diff(dim=-1)


def fit_autoencoder(
    images: NDArray[np.uint8],
    settings: TrainedAutoencoder,
    *,
    device: str | torch.device = "cpu",
    report: Callable[[dict[str, float]], None] | None = None,
) -> AutoencoderTraining:
    """Train an AutoencoderKL on single planes (stacked three times) or RGB images.

    The loss is the squared error, the squared error of the image gradients times
    `settings.edge_weight`, that of log texture energies (`texture_energies`) times
    `settings.texture_weight`, and `settings.kl_weight` times the divergence from a standard normal.

    Parameters
    ----------
    images
        uint8 [N, C, H, W]; RGB images [N, 3, H, W] with `settings.image_mode` "rgb".
    settings
        Sizes and optimization.
    device
        Device for training.
    report
        Called with every entry of the history.

    Raises
    ------
    DataError
        If the images are not 8-bit, RGB images do not have three planes, or a crop does not fit
        into a field or is not divisible by the downsampling factor.
    TrainingError
        If the loss is no longer finite.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise DataError(
            f"The autoencoder is trained on 8-bit fields [N, C, H, W], not on {images.dtype} of "
            f"shape {list(images.shape)}."
        )
    if settings.image_mode == "rgb" and images.shape[1] != 3:
        raise DataError(f"RGB images have three planes, these have {images.shape[1]}.")
    size, factor = settings.crop, settings.downsampling
    if size > min(images.shape[2:]) or size % factor:
        raise DataError(
            f"The autoencoder's crop of {size} pixels must fit into the fields "
            f"({images.shape[2]}x{images.shape[3]}) and be a multiple of {factor}."
        )
    draw = _rgb_crops if settings.image_mode == "rgb" else _crops
    place = torch.device(device)
    # Channels last is a fifth slower on a CPU, because of the backward pass of group norms.
    layout = torch.channels_last if place.type == "cuda" else torch.contiguous_format
    torch.manual_seed(settings.seed)
    random = np.random.default_rng(settings.seed)
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(settings.block_out_channels),
        up_block_types=("UpDecoderBlock2D",) * len(settings.block_out_channels),
        block_out_channels=tuple(settings.block_out_channels),
        layers_per_block=settings.layers_per_block,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.norm_num_groups,
        sample_size=size,
        force_upcast=False,  # it was trained in bfloat16
    ).to(device, memory_format=layout)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, settings.steps)
    )
    training = AutoencoderTraining(model)
    half = computes_bfloat16(place)
    progress = trange(settings.steps, desc="autoencoder", unit="step", mininterval=5)
    for step in progress:
        target = draw(images, random, settings.batch_size, size).to(device)
        target = target.contiguous(memory_format=layout)
        with torch.autocast(place.type, torch.bfloat16, enabled=half):
            posterior = model.encode(target).latent_dist
            output = model.decode(posterior.sample()).sample
        output = output.float()
        mse = functional.mse_loss(output, target)
        edges = sum(
            functional.mse_loss(found, wanted)
            for found, wanted in zip(_edges(output), _edges(target), strict=True)
        )
        kl = posterior.kl().float().mean()
        loss = mse + settings.edge_weight * edges + settings.kl_weight * kl
        if settings.texture_weight:
            found, wanted = (_planes(image, settings.image_mode) for image in (output, target))
            loss = loss + settings.texture_weight * _texture_difference(found, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == settings.steps - 1:
            entry = {"step": step, "loss": loss.item(), "mse": mse.item(), "kl": kl.item()}
            if not np.isfinite(entry["loss"]):
                raise TrainingError(
                    f"The autoencoder's loss is {entry['loss']} at step {step}: lower its "
                    "learning_rate."
                )
            training.history.append(entry)
            progress.set_postfix(mse=f"{entry['mse']:.4f}")
            if report is not None:
                report(entry)
    model.eval().requires_grad_(False)
    _store_latent_statistics(model, [draw(images, random, 32, size) for _ in range(16)])
    return training


@torch.inference_mode()
def _store_latent_statistics(model: AutoencoderKL, crops: list[torch.Tensor]) -> None:
    device = next(model.parameters()).device
    stacked = torch.cat(
        [model.encode(part.to(device)).latent_dist.sample().float() for part in crops]
    )
    model.register_to_config(
        latents_mean=stacked.mean(dim=(0, 2, 3)).tolist(),
        latents_std=stacked.std(dim=(0, 2, 3)).tolist(),
    )


def save_autoencoder(model: AutoencoderKL, folder: str | Path, *, half: bool = False) -> None:
    """Write an autoencoder in diffusers' layout, atomically.

    Parameters
    ----------
    model
        The autoencoder.
    folder
        Output folder for `config.json` and `diffusion_pytorch_model.safetensors`.
    half
        Store float16, for sharing weights.
    """
    # Not `from_config`, which drops the latents' statistics, registered after construction.
    stored = copy.deepcopy(model).half() if half else model
    with atomic_path(folder) as temporary:
        stored.save_pretrained(temporary, safe_serialization=True)
        # Drop the path it was loaded from, which is not a property of the weights.
        config = json.loads((temporary / "config.json").read_text("utf-8"))
        config.pop("_name_or_path", None)
        (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
