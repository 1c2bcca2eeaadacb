from morphpipe.stages.fields import simulate_shard
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
simulate_shard(
    snakemake.wildcards.dataset,
    snakemake.params.dataset,
    int(snakemake.wildcards.shard),
    **snakemake.output,
)
