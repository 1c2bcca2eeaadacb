from morphpipe.encoders.configured import extract_shard
from morphpipe.stages.job import start_job
from morphpipe.tables.archive import read_fields

start_job(snakemake.log[0], snakemake.input, threads=snakemake.threads)
extract_shard(
    read_fields(snakemake.input.fields),
    snakemake.wildcards.encoder,
    snakemake.params.encoder,
    snakemake.input.encoder,
    snakemake.params.views,
    snakemake.output.features,
)
