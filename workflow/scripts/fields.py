from morphpipe.datasets.preparation.tables import join_shards
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
join_shards(
    snakemake.input.shards,
    snakemake.input.quality,
    snakemake.input.missing,
    snakemake.output.fields,
    snakemake.output.quality,
    snakemake.output.quarantine,
)
