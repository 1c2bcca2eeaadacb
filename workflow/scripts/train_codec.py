from pathlib import Path

import pandas as pd
import torch

from morphpipe.codecs.train_autoencoder import save_autoencoder, train_autoencoder
from morphpipe.config.networks import TrainedCodec
from morphpipe.console import log_to
from morphpipe.datasets.archive import read_images
from morphpipe.datasets.fields import read_fields
from morphpipe.devices import best_device
from morphpipe.evaluation.split_table import fields_on

log_to(snakemake.log[0], echo=True)
torch.set_num_threads(snakemake.threads)
train = fields_on(pd.read_parquet(snakemake.input.split), "train")
training = train_autoencoder(
    read_images(read_fields(snakemake.input.fields).select(train)),
    TrainedCodec.model_validate(snakemake.params.codec),
    device=best_device(),
)
save_autoencoder(training.model, Path(snakemake.output.config).parent)
pd.DataFrame(training.history).to_csv(snakemake.output.history, index=False)
