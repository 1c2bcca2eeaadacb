from pathlib import Path

from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.stage import EvaluationInputs, measured
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
inputs = EvaluationInputs(
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    counts=snakemake.input.get("counts", []),
    **snakemake.params.evaluation,
)
tables = measured(Path(snakemake.output.metrics).stem, inputs)
for name, path in snakemake.output.items():
    write_parquet(tables[name], path)
