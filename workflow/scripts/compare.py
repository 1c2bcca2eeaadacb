from morphpipe.config.comparisons import Comparison
from morphpipe.evaluation.comparison_stage import compare_experiments
from morphpipe.job import start_job
from morphpipe.storage import write_parquet

start_job(snakemake.log[0], snakemake.input)
tests = compare_experiments(
    Comparison.model_validate(snakemake.params.comparison),
    snakemake.input.model,
    snakemake.input.baseline,
)
write_parquet(tests, snakemake.output.tests)
