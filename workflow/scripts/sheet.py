from morphpipe.stages.fields import write_plate_sheet
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
write_plate_sheet(
    snakemake.params.dataset,
    snakemake.params.plate,
    dict(snakemake.input.items()),
    **snakemake.output,
)
