from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.datasets.stage import write_tables
from morphpipe.storage import read_parquet

log_to(snakemake.log[0])
write_tables(
    read_fields(snakemake.input.fields),
    [
        read_parquet(path).to_pandas()
        for path in [snakemake.input.missing, *snakemake.input.unreadable]
    ],
    snakemake.output.fields,
    snakemake.output.quarantine,
)
