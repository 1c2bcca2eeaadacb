from morphpipe.config.datasets import GalleryDataset
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.preparation.tables import write_plate
from morphpipe.datasets.sources.gallery_source import GallerySource
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
plate = snakemake.params.plate
settings = GalleryDataset.model_validate(snakemake.params.dataset | {"plates": [plate]})
sheet = GallerySource(settings).plate_sheet(
    plate,
    obtained(snakemake.input.archive),
    obtained(snakemake.input.load_data),
    obtained(snakemake.input.annotation),
)
# Every plane of the table has been fetched, or the download would have failed.
write_plate(sheet, snakemake.output.sheet, snakemake.output.missing)
