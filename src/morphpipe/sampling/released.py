"""Sampling from U-Nets trained elsewhere, such as MorphoDiff's released checkpoints."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.config.experiments import Training
from morphpipe.config.generators import UNet
from morphpipe.core.devices import best_device
from morphpipe.generators.unet import UNetGenerator
from morphpipe.generators.unet_folder import load_unet
from morphpipe.perturbations.condition_table import ConditionTable
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.training.settings import TrainingSettings


def is_released(folder: str | Path) -> bool:
    """Whether a folder is not a checkpoint of morphpipe (it has no `state.json`)."""
    return Path(folder).is_dir() and not (Path(folder) / "state.json").exists()


def load_released(
    folder: str | Path,
    autoencoder: str | Path,
    conditions: ConditionTable,
    cell_types: Sequence[str],
    size: tuple[int, int] = (512, 512),
    *,
    scaling_factor: float | None = None,
) -> tuple[TrainedGenerator, Autoencoder]:
    """Load a U-Net in diffusers' layout and its autoencoder, on the best device.

    Parameters
    ----------
    folder
        See `morphpipe.generators.unet_folder.load_unet`.
    autoencoder
        Folder of the AutoencoderKL.
    conditions
        Embeddings like those in training: for MorphoDiff scGPT's 512 or RDKit's 173 numbers, padded
        with 1.
    cell_types
        Labels of the images; the network has no cell types.
    size
        Height and width of the images, pixels; MorphoDiff's are 512x512.
    scaling_factor
        Scaling factor of the latents; None for the autoencoder's own.
    """
    device = best_device()
    decoder = load_autoencoder(autoencoder, "rgb", scaling_factor=scaling_factor, device=device)
    latent_shape = decoder.latent_shape((3, *size))
    network = load_unet(folder)
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    names = tuple(sorted(conditions.concentrations()))
    generator = UNetGenerator(
        network,
        perturbations=len(names),
        cell_types=len(cell_types),
        condition_width=conditions.width,
    )
    generator.check_channels(latent_shape[0])
    settings = TrainingSettings(
        Path(folder).resolve().name,
        0,
        "rgb",
        Path(autoencoder).name,
        ("red", "green", "blue"),
        UNet(kind="unet", condition="given"),
        Training(),
    )
    return (
        TrainedGenerator(
            generator.eval().requires_grad_(False).to(device),
            Vocabulary(names, tuple(sorted(set(cell_types))), ("compound",) * len(names)),
            settings,
            0,
            latent_shape,
            digest.hexdigest(),
            conditions,
        ),
        decoder,
    )
