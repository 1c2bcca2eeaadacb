import pyarrow as pa

from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields, write_fields
from morphpipe.datasets.quality import join_quarantine
from morphpipe.storage import read_parquet, write_parquet

log_to(snakemake.log[0])
quarantine = join_quarantine(
    [
        read_parquet(path).to_pandas()
        for path in [snakemake.input.missing, *snakemake.input.unreadable]
    ]
)
fields = read_fields(snakemake.input.fields)
write_fields(fields.without(quarantine["field_id"]), snakemake.output.fields)
write_parquet(pa.Table.from_pandas(quarantine, preserve_index=False), snakemake.output.quarantine)
