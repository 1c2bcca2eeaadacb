from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.evaluation.cell_counts import count_cells
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
fields = read_fields(snakemake.input.fields)
write_parquet(count_cells(fields, snakemake.params.nuclear), snakemake.output.counts)
