import pyarrow as pa

from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields, shard_of
from morphpipe.datasets.quality import unreadable_fields
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
fields = read_fields(snakemake.input.fields)
shard = shard_of(fields, int(snakemake.wildcards.shard), snakemake.params.shards)
found = unreadable_fields(shard, quarantine=snakemake.params.quarantine)
write_parquet(pa.Table.from_pandas(found, preserve_index=False), snakemake.output.quarantine)
