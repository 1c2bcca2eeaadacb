"""Jobs on autoencoders and encoders: training them, latents, alignment targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morphpipe.autoencoders import stage as autoencoders
from morphpipe.autoencoders.autoencoder import load_codec
from morphpipe.autoencoders.latents import cache_moments
from morphpipe.config.base import ImageMode
from morphpipe.config.networks import ResNet18Encoder, TrainedCodec
from morphpipe.core.devices import best_device
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.encoders import stage as encoders
from morphpipe.encoders.extract import cache_targets
from morphpipe.tables.archive import read_fields
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.tables.fields import FieldTable


def train_codec(settings: Mapping[str, Any], fields: str, split: str, folder: str | Path) -> None:
    """Train an autoencoder on the training fields of a split."""
    wanted = TrainedCodec.model_validate(settings)
    autoencoders.train_codec(_side(fields, split, "train"), wanted, folder)


def train_encoder(settings: Mapping[str, Any], fields: str, split: str, folder: str | Path) -> None:
    """Train a feature encoder on its side of a split."""
    wanted = ResNet18Encoder.model_validate(settings)
    encoders.train_encoder(_side(fields, split, wanted.side), wanted, folder)


def _side(fields: str, split: str, side: str) -> FieldTable:
    return read_fields(fields).select(fields_on(read_split(split), side))


def cache_latents(
    fields: str,
    codec: str | Path,
    array: str,
    *,
    mode: ImageMode,
    transforms: Sequence[int],
    scaling_factor: float | None,
    batch_size: int,
) -> None:
    """Encode the fields of a shard once in each orientation.

    Parameters
    ----------
    fields
        Field table or archive.
    codec
        Folder of the autoencoder.
    array
        The `.npy` file to write; its index is written next to it.
    mode
        `channels` or `rgb`.
    transforms
        Orientations, 0 to 7.
    scaling_factor
        Scaling factor of the latents; None: that of the autoencoder's `config.json`.
    batch_size
        Images at once.
    """
    network = load_codec(codec, mode, scaling_factor=scaling_factor, device=best_device())
    cache_moments(
        read_fields(fields),
        network,
        array.removesuffix(".npy"),
        transforms=transforms,
        batch_size=batch_size,
    )


def cache_alignment_targets(
    fields: str,
    moments: str,
    record: str,
    array: str,
    *,
    name: str,
    encoder: dict[str, Any],
    patch: int,
    transforms: Sequence[int],
) -> None:
    """Compute the tokens that a generator is aligned with, on the grid of the latents.

    Parameters
    ----------
    fields, moments
        Field table or archive of a shard, and the index of its latents.
    record, name, encoder
        The encoder's record, name and configuration.
    array
        The `.npy` file to write.
    patch
        Patch size of the generator, in latent pixels.
    transforms
        Orientations, 0 to 7.
    """
    table = read_fields(fields)
    height, width = ArrayShards([moments], verify=False).shape[-2:]
    cache_targets(
        table,
        encoders.load_token_encoder(name, encoder, record, table.manifest.names),
        array.removesuffix(".npy"),
        grid=(height // patch, width // patch),
        transforms=transforms,
        batch_size=encoder["batch_size"],
    )
