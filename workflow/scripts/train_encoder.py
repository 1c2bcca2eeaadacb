from pathlib import Path

from morphpipe.stages.encoders import train_encoder
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True, threads=snakemake.threads)
train_encoder(
    snakemake.params.encoder, **snakemake.input, folder=Path(snakemake.output.weights).parent
)
