from morphpipe.datasets.fields import read_fields
from morphpipe.evaluation.cell_counts import count_cells
from morphpipe.job import start_job
from morphpipe.storage import write_parquet

start_job(snakemake.log[0], snakemake.input)
fields = read_fields(snakemake.input.fields)
write_parquet(count_cells(fields, snakemake.params.nuclear), snakemake.output.counts)
