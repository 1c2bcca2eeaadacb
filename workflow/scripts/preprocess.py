from morphpipe.config.preprocessing import Preprocessing, Quality
from morphpipe.console import log_to
from morphpipe.datasets.preprocess import preprocess_plate
from morphpipe.datasets.sheet import load_sheet

log_to(snakemake.log[0])
preprocess_plate(
    load_sheet(snakemake.input.sheet),
    snakemake.wildcards.dataset,
    Preprocessing.model_validate(snakemake.params.preprocessing),
    Quality.model_validate(snakemake.params.quality),
    snakemake.output.archive,
    snakemake.output.quality,
    rgb=snakemake.params.rgb,
)
