from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.crops import CropInputs, measure_crop_distances
from morphpipe.tables.lineage import start_job
from morphpipe.tables.metric_table import metric_table

start_job(snakemake.log[0], snakemake.input)
inputs = CropInputs(
    split=snakemake.input.split,
    real_crops=snakemake.input.real_crops,
    generated_crops=snakemake.input.generated_crops,
    **snakemake.params.evaluation,
)
write_parquet(metric_table(measure_crop_distances(inputs)), snakemake.output.metrics)
