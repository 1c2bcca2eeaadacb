from morphpipe.job import start_job
from morphpipe.report.collect import collect
from morphpipe.report.figures import write_figures

start_job(snakemake.log[0], snakemake.input)
inputs = collect(snakemake.params.configuration, snakemake.params.experiments)
write_figures(inputs, inputs.experiments[0], dict(snakemake.output.items()))
