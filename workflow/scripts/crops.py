from morphpipe.datasets.preparation.crops import write_crops
from morphpipe.stages.job import start_job
from morphpipe.tables.archive import read_fields

start_job(snakemake.log[0], snakemake.input)
write_crops(
    read_fields(snakemake.input.fields),
    snakemake.output.archive,
    nuclear=snakemake.params.nuclear,
    order=snakemake.wildcards.order,
    size=int(snakemake.wildcards.size),
    cell_types=snakemake.params.get("cell_types"),
)
