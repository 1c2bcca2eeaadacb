from morphpipe.console import log_to
from morphpipe.datasets.crops import write_crops
from morphpipe.datasets.fields import read_fields

log_to(snakemake.log[0])
write_crops(
    read_fields(snakemake.input.fields),
    snakemake.output.archive,
    nuclear=snakemake.params.nuclear,
    order=snakemake.wildcards.order,
    size=int(snakemake.wildcards.size),
    cell_types=snakemake.params.get("cell_types"),
)
