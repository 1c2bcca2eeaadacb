from morphpipe.datasets.fetch.obtain import obtain, obtained
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
obtain(snakemake.params.address, obtained(snakemake.output[0]), lock=snakemake.params.lock)
