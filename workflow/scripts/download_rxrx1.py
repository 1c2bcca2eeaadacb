from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.console import log_to
from morphpipe.datasets.download import fetch

log_to(snakemake.log[0], echo=True)
dataset = RxRx1Dataset.model_validate(snakemake.params.dataset)
lock = snakemake.params.lock
fetch(dataset.metadata, snakemake.output.metadata, sha256=dataset.metadata_sha256, lock=lock)
fetch(dataset.images, snakemake.output.images, sha256=dataset.images_sha256, lock=lock)
