import torch

from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields, shard_of
from morphpipe.encoders.stage import extract_shard

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
fields = read_fields(snakemake.input.fields)
if snakemake.params.shards is not None:
    fields = shard_of(fields, int(snakemake.wildcards.shard), snakemake.params.shards)
extract_shard(
    fields,
    snakemake.wildcards.encoder,
    snakemake.params.encoder,
    snakemake.input.encoder,
    snakemake.params.views,
    snakemake.output.features,
)
