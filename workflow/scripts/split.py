import pyarrow as pa

from morphpipe.config.datasets import Split
from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.evaluation.split_table import make_split
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
split = Split.model_validate(snakemake.params.split)
table = make_split(read_fields(snakemake.input.fields).keys(), split)
write_parquet(pa.Table.from_pandas(table, preserve_index=False), snakemake.output.split)
