from pathlib import Path

from morphpipe.config.weights import Weights
from morphpipe.datasets.fetch.weights import fetch_weights
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
fetch_weights(
    snakemake.wildcards.weights,
    Weights.model_validate(snakemake.params.weights),
    Path(snakemake.output.record).parent,
    snakemake.params.lock,
)
