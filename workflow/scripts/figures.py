from morphpipe.console import log_to
from morphpipe.report.collect import collect
from morphpipe.report.figures import write_figures

log_to(snakemake.log[0])
inputs = collect(snakemake.params.configuration, snakemake.params.experiments)
write_figures(inputs, inputs.experiments[0], dict(snakemake.output.items()))
