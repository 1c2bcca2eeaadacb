from pathlib import Path

import torch

from morphpipe.codecs.autoencoder import load_codec
from morphpipe.codecs.latents import cache_moments
from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields, shard_of
from morphpipe.devices import best_device
from morphpipe.evaluation.split_table import fields_on, read_split

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
codec = load_codec(
    Path(snakemake.input.codec).parent,
    snakemake.wildcards.mode,
    scaling_factor=snakemake.params.scaling_factor,
    device=best_device(),
)
cache_moments(
    shard_of(
        read_fields(snakemake.input.fields),
        int(snakemake.wildcards.shard),
        snakemake.params.shards,
    ),
    codec,
    snakemake.output.array.removesuffix(".npy"),
    only=fields_on(read_split(snakemake.input.split), "train"),
    transforms=snakemake.params.transforms,
    batch_size=snakemake.params.batch_size,
)
