from pathlib import Path

from morphpipe.stages.evaluation import evaluate
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
evaluate(
    Path(snakemake.output.metrics).stem,
    snakemake.params.evaluation,
    dict(snakemake.output.items()),
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    counts=snakemake.input.get("counts", []),
)
