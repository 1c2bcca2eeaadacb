import torch

from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.encoders.stage import extract_shard

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
extract_shard(
    read_fields(snakemake.input.fields),
    snakemake.wildcards.encoder,
    snakemake.params.encoder,
    snakemake.input.encoder,
    snakemake.params.views,
    snakemake.output.features,
)
