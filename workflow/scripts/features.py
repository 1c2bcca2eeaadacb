import torch

from morphpipe.encoders.stage import extract_shard
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
torch.set_num_threads(snakemake.threads)
extract_shard(
    read_fields(snakemake.input.fields),
    snakemake.wildcards.encoder,
    snakemake.params.encoder,
    snakemake.input.encoder,
    snakemake.params.views,
    snakemake.output.features,
)
