from pathlib import Path

from morphpipe.stages.job import start_job
from morphpipe.stages.report import write

start_job(snakemake.log[0], snakemake.input)
write(
    snakemake.params.configuration,
    snakemake.params.experiments,
    snakemake.params.comparisons,
    {name: snakemake.input[name] for name in ("weights", "autoencoders", "encoders", "papers")},
    page=snakemake.output.single,
    folder=Path(snakemake.output.page).parent,
    benchmarks=snakemake.params.benchmarks,
    logs=snakemake.params.logs,
)
