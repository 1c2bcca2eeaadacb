from pathlib import Path

import torch

from morphpipe.codecs.stage import train_codec
from morphpipe.config.networks import TrainedCodec
from morphpipe.datasets.fields import read_fields
from morphpipe.evaluation.split_table import fields_on, read_split
from morphpipe.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
torch.set_num_threads(snakemake.threads)
train = fields_on(read_split(snakemake.input.split), "train")
train_codec(
    read_fields(snakemake.input.fields).select(train),
    TrainedCodec.model_validate(snakemake.params.codec),
    Path(snakemake.output.config).parent,
)
