import torch

from morphpipe.encoders.extract import cache_targets
from morphpipe.encoders.stage import load_token_encoder
from morphpipe.tables.archive import read_fields
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
torch.set_num_threads(snakemake.threads)
encoder, wildcards = snakemake.params.encoder, snakemake.wildcards
fields = read_fields(snakemake.input.fields)
height, width = ArrayShards([snakemake.input.moments], verify=False).shape[-2:]
cache_targets(
    fields,
    load_token_encoder(wildcards.encoder, encoder, snakemake.input.encoder, fields.manifest.names),
    snakemake.output.array.removesuffix(".npy"),
    grid=(height // int(wildcards.patch), width // int(wildcards.patch)),
    transforms=snakemake.params.transforms,
    batch_size=encoder["batch_size"],
)
