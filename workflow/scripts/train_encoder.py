from pathlib import Path

import torch

from morphpipe.config.networks import ResNet18Encoder
from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.encoders.stage import train_encoder
from morphpipe.evaluation.split_table import fields_on, read_split

log_to(snakemake.log[0], echo=True)
torch.set_num_threads(snakemake.threads)
settings = ResNet18Encoder.model_validate(snakemake.params.encoder)
side = fields_on(read_split(snakemake.input.split), settings.side)
train_encoder(
    read_fields(snakemake.input.fields).select(side),
    settings,
    Path(snakemake.output.weights).parent,
)
