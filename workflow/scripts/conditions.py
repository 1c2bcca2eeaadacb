from pathlib import Path

from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.perturbations.condition_table import build, read_condition

log_to(snakemake.log[0])
files = [Path(file) for file in snakemake.input.files]
table = build(
    read_fields(snakemake.input.fields).keys(),
    read_condition(snakemake.params.condition),
    files[0].parent if files else None,
)
table.write(snakemake.output.table)
