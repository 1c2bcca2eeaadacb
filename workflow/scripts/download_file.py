from morphpipe.console import log_to
from morphpipe.datasets.download import fetch

log_to(snakemake.log[0], echo=True)
fetch(snakemake.params.address, snakemake.output[0], lock=snakemake.params.lock)
