from pathlib import Path

from morphpipe.stages.autoencoders import cache_latents
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, threads=snakemake.threads)
cache_latents(
    snakemake.input.fields,
    Path(snakemake.input.autoencoder).parent,
    snakemake.output.array,
    mode=snakemake.wildcards.mode,
    **snakemake.params,
)
