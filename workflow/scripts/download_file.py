from morphpipe.console import log_to
from morphpipe.datasets.obtain import obtain, obtained

log_to(snakemake.log[0], echo=True)
obtain(snakemake.params.address, obtained(snakemake.output[0]), lock=snakemake.params.lock)
