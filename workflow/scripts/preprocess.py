from morphpipe.config.preprocessing import Preprocessing, Quality
from morphpipe.datasets.preparation.preprocess import preprocess_plate
from morphpipe.datasets.sources.sheet import load_sheet
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
preprocess_plate(
    load_sheet(snakemake.input.sheet),
    snakemake.wildcards.dataset,
    Preprocessing.model_validate(snakemake.params.preprocessing),
    Quality.model_validate(snakemake.params.quality),
    snakemake.output.archive,
    snakemake.output.quality,
    rgb=snakemake.params.rgb,
)
