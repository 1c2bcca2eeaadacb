from morphpipe.config.raw_datasets import GalleryDataset
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.sources.gallery_source import GallerySource
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, echo=True)
plate = snakemake.params.plate
settings = GalleryDataset.model_validate(snakemake.params.dataset | {"plates": [plate]})
GallerySource(settings).download(
    plate,
    obtained(snakemake.input.annotation),
    obtained(snakemake.output.archive),
    obtained(snakemake.output.load_data),
    snakemake.params.lock,
)
