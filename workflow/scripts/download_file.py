from morphpipe.datasets.fetch.obtain import obtain, obtained
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
obtain(snakemake.params.address, obtained(snakemake.output[0]), lock=snakemake.params.lock)
