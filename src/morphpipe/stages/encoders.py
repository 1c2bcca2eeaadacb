"""Jobs on encoders: training, features of a shard, alignment targets."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from morphpipe.config.networks import ResNet18Encoder
from morphpipe.core.checksums import record_files
from morphpipe.core.devices import best_device
from morphpipe.datasets.splits.table import select_side
from morphpipe.encoders.configured import WEIGHTS_NAME, load_token_encoder
from morphpipe.encoders.extract import cache_targets, rgb_planes
from morphpipe.encoders.resnet18 import RGB_PLANES
from morphpipe.encoders.train_resnet18 import train_resnet18
from morphpipe.tables.archive import read_fields
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.tables.field_reader import read_images

HISTORY = "history.csv"


def train_encoder(settings: Mapping[str, Any], fields: str, split: str, folder: str | Path) -> None:
    """Train a ResNet-18 to tell conditions (cell type and perturbation) apart, and save it.

    Parameters
    ----------
    settings
        An entry of `encoders`, plain values.
    fields, split
        Field table and split table; the encoder is trained on its `side`.
    folder
        Will hold the weights, `history.csv` (`epoch`, `loss`, `accuracy`), and the checksums of
        both in `weights.json`.
    """
    wanted = ResNet18Encoder.model_validate(settings)
    chosen = select_side(read_fields(fields), split, wanted.side)
    keys = chosen.keys()
    labels, names = pd.factorize(keys["cell_type"] + "\x00" + keys["perturbation"], sort=True)
    images, rgb = read_images(chosen), wanted.image_mode == "rgb"
    trained = train_resnet18(
        rgb_planes(images, chosen.manifest).numpy() if rgb else images,
        labels.astype(np.int64),
        channels=RGB_PLANES if rgb else chosen.manifest.names,
        classes=len(names),
        epochs=wanted.epochs,
        batch_size=wanted.training_batch_size,
        learning_rate=wanted.learning_rate,
        seed=wanted.seed,
        channel_dropout=0.0 if rgb else wanted.channel_dropout,
        device=best_device(),
        progress=lambda epoch: tqdm.write(
            f"epoch {epoch.number} of {wanted.epochs}: loss {epoch.loss:.3f}, "
            f"accuracy {epoch.accuracy:.3f}",
            file=sys.stderr,
        ),
    )
    folder = Path(folder)
    trained.network.save(folder / WEIGHTS_NAME)
    history = [(epoch.number, epoch.loss, epoch.accuracy) for epoch in trained.history]
    columns = ["epoch", "loss", "accuracy"]
    pd.DataFrame(history, columns=columns).to_csv(folder / HISTORY, index=False)
    record_files(folder, [WEIGHTS_NAME, HISTORY])


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
        load_token_encoder(name, encoder, record, table.manifest.names),
        array.removesuffix(".npy"),
        grid=(height // patch, width // patch),
        transforms=transforms,
        batch_size=encoder["batch_size"],
    )
