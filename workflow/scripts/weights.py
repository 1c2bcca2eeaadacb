from pathlib import Path

from morphpipe.config.weights import Weights
from morphpipe.console import log_to
from morphpipe.weights import fetch_weights

log_to(snakemake.log[0])
fetch_weights(
    snakemake.wildcards.weights,
    Weights.model_validate(snakemake.params.weights),
    Path(snakemake.output.record).parent,
    snakemake.params.lock,
)
