from pathlib import Path

import pyarrow as pa

from morphpipe.console import log_to
from morphpipe.datasets.fields import concatenate, read_fields, write_fields
from morphpipe.datasets.quality import join_quarantine
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
folder = Path(snakemake.output.fields).parent
parts = [read_fields(path) for path in snakemake.input.archives]
write_fields(concatenate(parts, folder), snakemake.output.fields)
# What we have drawn ourselves can be read: the table is there for the report, and empty.
nothing = pa.Table.from_pandas(join_quarantine([]), preserve_index=False)
write_parquet(nothing, snakemake.output.quarantine)
