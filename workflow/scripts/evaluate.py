from pathlib import Path

from morphpipe.evaluation.metric_table import metric_table
from morphpipe.evaluation.stage import MEASURES, EvaluationInputs
from morphpipe.job import start_job
from morphpipe.storage import write_parquet

start_job(snakemake.log[0], snakemake.input)
inputs = EvaluationInputs(
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    counts=snakemake.input.get("counts", []),
    **snakemake.params.evaluation,
)
rows = MEASURES[Path(snakemake.output.metrics).stem](inputs)
write_parquet(metric_table(rows), snakemake.output.metrics)
