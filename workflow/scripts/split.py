from morphpipe.stages.fields import split_fields
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
split_fields(snakemake.params.split, **snakemake.input, **snakemake.output)
