import pyarrow as pa

from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
blocks = [read_parquet(path) for path in snakemake.input.blocks]
write_parquet(pa.concat_tables(blocks), snakemake.output.ranks)
