from pathlib import Path

from morphpipe.stages.autoencoders import train_codec
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True, threads=snakemake.threads)
train_codec(snakemake.params.codec, **snakemake.input, folder=Path(snakemake.output.config).parent)
