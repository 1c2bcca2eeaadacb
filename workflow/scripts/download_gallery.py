from morphpipe.config.datasets import GalleryDataset
from morphpipe.console import log_to
from morphpipe.datasets.gallery_plate import download_gallery_plate
from morphpipe.datasets.obtain import obtained

log_to(snakemake.log[0], echo=True)
plate = snakemake.params.plate
download_gallery_plate(
    GalleryDataset.model_validate(snakemake.params.dataset | {"plates": [plate]}),
    plate,
    obtained(snakemake.input.annotation),
    obtained(snakemake.output.archive),
    obtained(snakemake.output.load_data),
    snakemake.params.lock,
)
