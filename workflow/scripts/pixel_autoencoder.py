from pathlib import Path

from morphpipe.autoencoders.pixels import save_pixels
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
save_pixels(Path(snakemake.output.config).parent, snakemake.params.patch)
