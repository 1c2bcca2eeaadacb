from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.sources.rxrx1_source import RxRx1Source
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
RxRx1Source(RxRx1Dataset.model_validate(snakemake.params.dataset)).download(
    obtained(snakemake.output.images),
    obtained(snakemake.output.metadata),
    snakemake.params.lock,
)
