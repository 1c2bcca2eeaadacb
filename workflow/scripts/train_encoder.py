from pathlib import Path

import torch

from morphpipe.config.networks import ResNet18Encoder
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.encoders.stage import train_encoder
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
torch.set_num_threads(snakemake.threads)
settings = ResNet18Encoder.model_validate(snakemake.params.encoder)
side = fields_on(read_split(snakemake.input.split), settings.side)
train_encoder(
    read_fields(snakemake.input.fields).select(side),
    settings,
    Path(snakemake.output.weights).parent,
)
