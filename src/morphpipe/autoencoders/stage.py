"""Codecs as the workflow trains them: from fields to a folder."""

from pathlib import Path

import pandas as pd

from morphpipe.autoencoders.autoencoder import CONFIG, WEIGHTS
from morphpipe.autoencoders.latents import codec_input
from morphpipe.autoencoders.training import save_autoencoder, train_autoencoder
from morphpipe.config.networks import TrainedCodec
from morphpipe.core.checksums import record_files
from morphpipe.core.devices import best_device
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import FieldTable

HISTORY = "history.csv"


def train_codec(fields: FieldTable, settings: TrainedCodec, folder: str | Path) -> None:
    """Train a codec on planes of fields, or on RGB renderings, and save it with its history.

    Parameters
    ----------
    fields
        What it sees.
    settings
        As configured.
    folder
        Will hold the autoencoder in diffusers' layout, `history.csv`, and the checksums of these
        in `weights.json`.
    """
    images = codec_input(read_images(fields), fields.manifest, settings.image_mode)
    training = train_autoencoder(images, settings, device=best_device())
    save_autoencoder(training.model, folder)
    pd.DataFrame(training.history).to_csv(Path(folder) / HISTORY, index=False)
    record_files(folder, [CONFIG, WEIGHTS, HISTORY])
