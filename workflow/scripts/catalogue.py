from morphpipe.stages.fields import write_catalogue
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
write_catalogue(
    snakemake.wildcards.dataset,
    snakemake.params.dataset,
    dict(snakemake.input.items()),
    **snakemake.output,
)
