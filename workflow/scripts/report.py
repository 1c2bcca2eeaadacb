from morphpipe.console import log_to
from morphpipe.report.collect import collect
from morphpipe.report.page import write_report

log_to(snakemake.log[0])
inputs = collect(
    snakemake.params.configuration,
    snakemake.params.experiments,
    comparisons=snakemake.params.comparisons,
    weights=snakemake.input.weights,
    codecs=snakemake.input.codecs,
    encoders=snakemake.input.encoders,
)
write_report(inputs, snakemake.output.page)
