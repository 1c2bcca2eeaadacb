"""Codecs as the workflow trains them: from fields to a folder."""

from pathlib import Path

import pandas as pd

from morphpipe.codecs.train_autoencoder import save_autoencoder, train_autoencoder
from morphpipe.config.networks import TrainedCodec
from morphpipe.datasets.archive import read_images
from morphpipe.datasets.fields import FieldTable
from morphpipe.devices import best_device


def train_codec(fields: FieldTable, settings: TrainedCodec, folder: str | Path) -> None:
    """Train a codec on the planes of fields, and save it with its history.

    Parameters
    ----------
    fields
        What it sees.
    settings
        As configured.
    folder
        Will hold the autoencoder in diffusers' layout, and `history.csv`.
    """
    training = train_autoencoder(read_images(fields), settings, device=best_device())
    save_autoencoder(training.model, folder)
    pd.DataFrame(training.history).to_csv(Path(folder) / "history.csv", index=False)
