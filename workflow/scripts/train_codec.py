from pathlib import Path

import torch

from morphpipe.autoencoders.stage import train_codec
from morphpipe.config.networks import TrainedCodec
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
torch.set_num_threads(snakemake.threads)
train = fields_on(read_split(snakemake.input.split), "train")
train_codec(
    read_fields(snakemake.input.fields).select(train),
    TrainedCodec.model_validate(snakemake.params.codec),
    Path(snakemake.output.config).parent,
)
