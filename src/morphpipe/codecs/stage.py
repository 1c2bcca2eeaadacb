"""Codecs as the workflow trains them: from fields to a folder."""

from pathlib import Path

import pandas as pd

from morphpipe.codecs.latents import codec_input
from morphpipe.codecs.train_autoencoder import save_autoencoder, train_autoencoder
from morphpipe.config.networks import TrainedCodec
from morphpipe.datasets.archive import read_images
from morphpipe.datasets.fields import FieldTable
from morphpipe.devices import best_device


def train_codec(fields: FieldTable, settings: TrainedCodec, folder: str | Path) -> None:
    """Train a codec on planes of fields, or on RGB renderings, and save it with its history.

    Parameters
    ----------
    fields
        What it sees.
    settings
        As configured.
    folder
        Will hold the autoencoder in diffusers' layout, and `history.csv`.
    """
    images = codec_input(read_images(fields), fields.manifest, settings.image_mode)
    training = train_autoencoder(images, settings, device=best_device())
    save_autoencoder(training.model, folder)
    pd.DataFrame(training.history).to_csv(Path(folder) / "history.csv", index=False)
