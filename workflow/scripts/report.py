from pathlib import Path

from morphpipe.report.collect import collect
from morphpipe.report.site import write_report
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
inputs = collect(
    snakemake.params.configuration,
    snakemake.params.experiments,
    comparisons=snakemake.params.comparisons,
    weights=snakemake.input.weights,
    codecs=snakemake.input.codecs,
    encoders=snakemake.input.encoders,
    papers=snakemake.input.papers,
    benchmarks=snakemake.params.benchmarks,
    logs=snakemake.params.logs,
)
write_report(inputs, page=snakemake.output.single, folder=Path(snakemake.output.page).parent)
