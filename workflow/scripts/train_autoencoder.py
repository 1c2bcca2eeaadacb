from pathlib import Path

from morphpipe.stages.autoencoders import train_autoencoder
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True, threads=snakemake.threads)
train_autoencoder(
    snakemake.params.autoencoder, **snakemake.input, folder=Path(snakemake.output.config).parent
)
