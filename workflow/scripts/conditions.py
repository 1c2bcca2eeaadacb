from pathlib import Path

from morphpipe.perturbations.condition_table import build, read_condition
from morphpipe.stages.job import start_job
from morphpipe.tables.archive import read_fields

start_job(snakemake.log[0], snakemake.input)
files = [Path(file) for file in snakemake.input.files]
table = build(
    read_fields(snakemake.input.fields).keys(),
    read_condition(snakemake.params.condition),
    files[0].parent if files else None,
)
table.write(snakemake.output.table)
