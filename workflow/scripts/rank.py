import pyarrow as pa

from morphpipe.console import log_to
from morphpipe.storage import read_parquet, write_parquet

log_to(snakemake.log[0])
blocks = [read_parquet(path) for path in snakemake.input.blocks]
write_parquet(pa.concat_tables(blocks), snakemake.output.ranks)
