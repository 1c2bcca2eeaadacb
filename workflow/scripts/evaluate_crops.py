from morphpipe.console import log_to
from morphpipe.evaluation.crop_distances import CropInputs, measure_crop_distances
from morphpipe.evaluation.metric_table import metric_table
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
inputs = CropInputs(
    split=snakemake.input.split,
    real_crops=snakemake.input.real_crops,
    generated_crops=snakemake.input.generated_crops,
    **snakemake.params.evaluation,
)
write_parquet(metric_table(measure_crop_distances(inputs)), snakemake.output.metrics)
