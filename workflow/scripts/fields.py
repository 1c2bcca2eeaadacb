from morphpipe.datasets.stage import join_shards
from morphpipe.job import start_job

start_job(snakemake.log[0], snakemake.input)
join_shards(
    snakemake.input.shards,
    snakemake.input.quality,
    snakemake.input.missing,
    snakemake.output.fields,
    snakemake.output.quality,
    snakemake.output.quarantine,
)
