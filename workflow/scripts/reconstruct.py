from pathlib import Path

from morphpipe.stages.autoencoders import reconstruct
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, threads=snakemake.threads)
reconstruct(
    snakemake.params.reconstruction,
    snakemake.input.fields,
    snakemake.input.split,
    Path(snakemake.input.autoencoder).parent,
    snakemake.output.metrics,
    snakemake.params.batch_size,
)
