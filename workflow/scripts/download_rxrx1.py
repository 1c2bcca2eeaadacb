from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.console import log_to
from morphpipe.datasets.obtain import obtained
from morphpipe.datasets.rxrx1_download import download_rxrx1

log_to(snakemake.log[0], echo=True)
download_rxrx1(
    RxRx1Dataset.model_validate(snakemake.params.dataset),
    obtained(snakemake.output.images),
    obtained(snakemake.output.metadata),
    snakemake.params.lock,
)
