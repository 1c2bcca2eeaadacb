"""Encoders as the workflow uses them: by their name in the configuration."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from morphpipe.config.networks import ResNet18Encoder
from morphpipe.core.checksums import RECORD, read_record, record_files
from morphpipe.core.devices import best_device
from morphpipe.core.errors import ConfigError
from morphpipe.core.storage import atomic_path, sha256_of_file
from morphpipe.encoders.base import Encoder, TokenEncoder
from morphpipe.encoders.extract import expand_views, extract_features, rgb_planes
from morphpipe.encoders.registry import build_encoder
from morphpipe.encoders.resnet18 import RGB_PLANES
from morphpipe.encoders.train_resnet18 import train_resnet18
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import FieldTable

WEIGHTS_NAME, HISTORY = "weights.safetensors", "history.csv"


def weights_file(settings: dict[str, Any], record: str | Path) -> Path:
    """The file with an encoder's weights.

    Parameters
    ----------
    settings
        The encoder's configuration, plain values.
    record
        Weights that the workflow trained, or `weights.json` beside fetched ones.
    """
    record = Path(record)
    if settings["kind"] == "resnet18":
        return record
    files = list(read_record(record.parent)["sha256"])
    return record.parent / files[0]


def record_in(folder: str | Path, settings: dict[str, Any]) -> Path:
    """What `weights_file` is to be given for an encoder's folder."""
    return Path(folder) / (WEIGHTS_NAME if settings["kind"] == "resnet18" else RECORD)


def load_encoder(
    name: str, settings: dict[str, Any], record: str | Path, channels: Sequence[str]
) -> Encoder:
    """Build an encoder under its name in the configuration, on the best device."""
    options = {}
    if settings["kind"] == "openphenom":
        options = {"norm": settings["norm"], "joined": settings["channels"]}
    encoder = build_encoder(
        settings["kind"],
        weights_file(settings, record),
        channels=channels,
        device=best_device(),
        **options,
    )
    encoder.name = name
    return encoder


def load_token_encoder(
    name: str, settings: dict[str, Any], record: str | Path, channels: Sequence[str]
) -> TokenEncoder:
    """Like `load_encoder`, for an encoder that a generator is aligned with.

    Raises
    ------
    ConfigError
        When the encoder gives no tokens.
    """
    encoder = load_encoder(name, settings, record, channels)
    if not isinstance(encoder, TokenEncoder):
        raise ConfigError(
            f"The encoder {name} gives no tokens to align with: choose one of kind openphenom or "
            "resnet18."
        )
    return encoder


def train_encoder(fields: FieldTable, settings: ResNet18Encoder, folder: str | Path) -> None:
    """Train a ResNet-18 to tell conditions (cell type and perturbation) apart, and save it.

    Parameters
    ----------
    fields
        What it sees.
    settings
        As configured.
    folder
        Will hold the weights, `history.csv` (`epoch`, `loss`, `accuracy`), and the checksums of
        both in `weights.json`.
    """
    keys = fields.keys()
    labels, names = pd.factorize(keys["cell_type"] + "\x00" + keys["perturbation"], sort=True)
    images, rgb = read_images(fields), settings.image_mode == "rgb"
    trained = train_resnet18(
        rgb_planes(images, fields.manifest).numpy() if rgb else images,
        labels.astype(np.int64),
        channels=RGB_PLANES if rgb else fields.manifest.names,
        classes=len(names),
        epochs=settings.epochs,
        batch_size=settings.training_batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        channel_dropout=0.0 if rgb else settings.channel_dropout,
        device=best_device(),
        progress=lambda epoch: tqdm.write(
            f"epoch {epoch.number} of {settings.epochs}: loss {epoch.loss:.3f}, "
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


def extract_shard(
    fields: FieldTable,
    name: str,
    settings: dict[str, Any],
    record: str | Path,
    views: Sequence[str],
    folder: str | Path,
) -> None:
    """Write the feature tables of a shard, `<folder>/<view>.parquet`.

    Raises
    ------
    ConfigError
        When the encoder can take none of the views.
    """
    encoder = load_encoder(name, settings, record, fields.manifest.names)
    wanted = expand_views(views, encoder, fields.manifest.names)
    if not wanted:
        raise ConfigError(
            f"The encoder {name} can take none of the views {', '.join(views)}; it can take "
            f"{', '.join(encoder.views)}."
        )
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        extract_features(
            fields,
            encoder,
            {view: temporary / f"{view}.parquet" for view in wanted},
            kind=settings["kind"],
            weights_sha256=sha256_of_file(weights_file(settings, record)),
            batch_size=settings["batch_size"],
        )
