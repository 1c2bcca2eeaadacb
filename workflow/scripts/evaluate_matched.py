from morphpipe.console import log_to
from morphpipe.evaluation.metric_table import metric_table
from morphpipe.evaluation.stage import EvaluationInputs, measure_matched
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
inputs = EvaluationInputs(
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    **snakemake.params.evaluation,
)
write_parquet(metric_table(measure_matched(inputs)), snakemake.output.metrics)
