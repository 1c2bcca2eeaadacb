import torch

from morphpipe.codecs.array_shards import ArrayShards
from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields, shard_of
from morphpipe.encoders.extract import cache_targets
from morphpipe.encoders.stage import load_token_encoder
from morphpipe.evaluation.split_table import fields_on, read_split
from morphpipe.generators.presets import PRESETS

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params = snakemake.params
fields = read_fields(snakemake.input.fields)
encoder = load_token_encoder(
    params.name, params.encoder, snakemake.input.encoder, fields.manifest.names
)
patch = PRESETS[params.architecture].patch
height, width = ArrayShards([snakemake.input.moments], verify=False).shape[-2:]
cache_targets(
    shard_of(fields, int(snakemake.wildcards.shard), params.shards),
    encoder,
    snakemake.output.array.removesuffix(".npy"),
    grid=(height // patch, width // patch),
    only=fields_on(read_split(snakemake.input.split), "train"),
    transforms=params.transforms,
    batch_size=params.encoder["batch_size"],
)
