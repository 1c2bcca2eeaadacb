from morphpipe.console import log_to
from morphpipe.datasets.stage import join_shards

log_to(snakemake.log[0])
join_shards(
    snakemake.input.shards,
    snakemake.input.quality,
    snakemake.input.missing,
    snakemake.output.fields,
    snakemake.output.quality,
    snakemake.output.quarantine,
)
