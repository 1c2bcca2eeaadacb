"""Jobs on autoencoders: training, latents, reconstruction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from morphpipe.autoencoders.autoencoder import WEIGHTS
from morphpipe.autoencoders.base import CONFIG
from morphpipe.autoencoders.latents import autoencoder_input, cache_moments
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.autoencoders.training import fit_autoencoder, save_autoencoder
from morphpipe.config.base import ImageMode
from morphpipe.config.networks import TrainedAutoencoder
from morphpipe.core.checksums import record_files
from morphpipe.core.devices import best_device
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.splits.table import select_side
from morphpipe.evaluation.reconstruction import measure_reconstruction
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.metric_table import metric_table

HISTORY = "history.csv"


def train_autoencoder(
    settings: Mapping[str, Any], fields: str, split: str, folder: str | Path
) -> None:
    """Train an autoencoder on planes, or on RGB renderings, of the training fields of a split.

    Parameters
    ----------
    settings
        An entry of `autoencoders`, plain values.
    fields, split
        Field table and split table.
    folder
        Will hold the autoencoder in diffusers' layout, `history.csv`, and the checksums of these
        in `weights.json`.
    """
    wanted = TrainedAutoencoder.model_validate(settings)
    chosen = select_side(read_fields(fields), split, "train")
    images = autoencoder_input(read_images(chosen), chosen.manifest, wanted.image_mode)
    training = fit_autoencoder(images, wanted, device=best_device())
    save_autoencoder(training.model, folder)
    pd.DataFrame(training.history).to_csv(Path(folder) / HISTORY, index=False)
    record_files(folder, [CONFIG, WEIGHTS, HISTORY])


def cache_latents(
    fields: str,
    autoencoder: str | Path,
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
    autoencoder
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
    network = load_autoencoder(
        autoencoder, mode, scaling_factor=scaling_factor, device=best_device()
    )
    cache_moments(
        read_fields(fields),
        network,
        array.removesuffix(".npy"),
        transforms=transforms,
        batch_size=batch_size,
    )


def reconstruct(
    settings: Mapping[str, Any],
    fields: str,
    split: str,
    autoencoder: str | Path,
    metrics: str,
    batch_size: int,
) -> None:
    """Write the metric table of how well an autoencoder reconstructs held-out fields."""
    rows = measure_reconstruction(fields, split, autoencoder, batch_size=batch_size, **settings)
    write_parquet(metric_table(rows), metrics)
