from pathlib import Path

from morphpipe.config.datasets import BBBC021Dataset
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.sources.plate_sheets import bbbc021_plate, write_plate
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
sheet, missing = bbbc021_plate(
    BBBC021Dataset.model_validate(snakemake.params.dataset),
    snakemake.params.plate,
    obtained(snakemake.input.archive),
    [obtained(table) for table in snakemake.input.tables],
    Path(snakemake.output.sheet).parent,
)
write_plate(sheet, missing, snakemake.output.sheet, snakemake.output.missing)
