from morphpipe.stages.job import start_job
from morphpipe.stages.report import paper_item

start_job(snakemake.log[0], snakemake.input)
paper_item(snakemake.wildcards.item, snakemake.params.run, *snakemake.output)
