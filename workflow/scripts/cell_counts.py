from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.cell_counts import count_cells
from morphpipe.stages.job import start_job
from morphpipe.tables.archive import read_fields

start_job(snakemake.log[0], snakemake.input)
fields = read_fields(snakemake.input.fields)
write_parquet(count_cells(fields, snakemake.params.nuclear), snakemake.output.counts)
