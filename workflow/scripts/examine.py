from morphpipe.config.preprocessing import Quality
from morphpipe.datasets.preparation.tables import quality_control_shard
from morphpipe.stages.job import start_job
from morphpipe.tables.archive import read_fields
from morphpipe.tables.fields import shard_of

start_job(snakemake.log[0], snakemake.input)
fields = read_fields(snakemake.input.fields)
quality_control_shard(
    shard_of(fields, int(snakemake.wildcards.shard), snakemake.params.shards),
    Quality.model_validate(snakemake.params.quality),
    snakemake.output.fields,
    snakemake.output.quality,
)
