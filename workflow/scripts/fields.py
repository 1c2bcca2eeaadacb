from morphpipe.datasets.preparation.tables import join_shards
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
join_shards(
    snakemake.input.shards,
    snakemake.input.quality,
    snakemake.input.missing,
    snakemake.output.fields,
    snakemake.output.quality,
    snakemake.output.quarantine,
)
