from morphpipe.config.datasets import GalleryDataset
from morphpipe.console import log_to
from morphpipe.datasets.gallery_plate import download_gallery_plate

log_to(snakemake.log[0], echo=True)
plate = snakemake.params.plate
download_gallery_plate(
    GalleryDataset.model_validate(snakemake.params.dataset | {"plates": [plate]}),
    plate,
    snakemake.input.annotation,
    snakemake.output.archive,
    snakemake.output.load_data,
    snakemake.params.lock,
)
