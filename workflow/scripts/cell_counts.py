from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.cell_counts import count_cells
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
fields = read_fields(snakemake.input.fields)
write_parquet(count_cells(fields, snakemake.params.nuclear), snakemake.output.counts)
