from morphpipe.config.comparisons import Comparison
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.comparison_stage import compare_experiments
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
tests = compare_experiments(
    Comparison.model_validate(snakemake.params.comparison),
    snakemake.input.model,
    snakemake.input.baseline,
)
write_parquet(tests, snakemake.output.tests)
