from morphpipe.stages.encoders import cache_alignment_targets
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input, threads=snakemake.threads)
cache_alignment_targets(
    snakemake.input.fields,
    snakemake.input.moments,
    snakemake.input.encoder,
    snakemake.output.array,
    name=snakemake.wildcards.encoder,
    encoder=snakemake.params.encoder,
    patch=int(snakemake.wildcards.patch),
    transforms=snakemake.params.transforms,
)
