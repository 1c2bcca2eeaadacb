from pathlib import Path

from morphpipe.console import log_to
from morphpipe.datasets.fields import concatenate, read_fields
from morphpipe.datasets.stage import write_tables

log_to(snakemake.log[0])
parts = [read_fields(path) for path in snakemake.input.archives]
# What we have drawn ourselves can be read: nothing is put aside.
write_tables(
    concatenate(parts, Path(snakemake.output.fields).parent),
    [],
    snakemake.output.fields,
    snakemake.output.quarantine,
)
