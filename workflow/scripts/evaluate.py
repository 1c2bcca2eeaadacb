from pathlib import Path

from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.stage import MEASURES, EvaluationInputs
from morphpipe.tables.lineage import start_job
from morphpipe.tables.metric_table import metric_table

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
