from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.stage import EvaluationInputs, measure_memorisation
from morphpipe.tables.lineage import start_job
from morphpipe.tables.metric_table import metric_table

start_job(snakemake.log[0], snakemake.input)
inputs = EvaluationInputs(
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    **snakemake.params.evaluation,
)
rows, pairs = measure_memorisation(inputs)
write_parquet(metric_table(rows), snakemake.output.metrics)
write_parquet(pairs, snakemake.output.pairs)
