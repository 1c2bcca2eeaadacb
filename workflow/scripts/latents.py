from pathlib import Path

import torch

from morphpipe.autoencoders.autoencoder import load_codec
from morphpipe.autoencoders.latents import cache_moments
from morphpipe.core.devices import best_device
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
torch.set_num_threads(snakemake.threads)
codec = load_codec(
    Path(snakemake.input.codec).parent,
    snakemake.wildcards.mode,
    scaling_factor=snakemake.params.scaling_factor,
    device=best_device(),
)
cache_moments(
    read_fields(snakemake.input.fields),
    codec,
    snakemake.output.array.removesuffix(".npy"),
    transforms=snakemake.params.transforms,
    batch_size=snakemake.params.batch_size,
)
