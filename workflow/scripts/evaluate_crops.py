from morphpipe.stages.evaluation import evaluate_crops
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
evaluate_crops(
    snakemake.params.evaluation,
    snakemake.input.split,
    snakemake.input.real_crops,
    snakemake.input.generated_crops,
    snakemake.output.metrics,
)
