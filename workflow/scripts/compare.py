from morphpipe.config.comparisons import Comparison
from morphpipe.console import log_to
from morphpipe.evaluation.comparison_stage import compare_experiments
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
tests = compare_experiments(
    Comparison.model_validate(snakemake.params.comparison),
    snakemake.input.model,
    snakemake.input.baseline,
)
write_parquet(tests, snakemake.output.tests)
