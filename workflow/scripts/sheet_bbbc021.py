from pathlib import Path

from morphpipe.config.datasets import BBBC021Dataset
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.preparation.tables import write_plate
from morphpipe.datasets.sources.bbbc021_source import BBBC021Source
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
source = BBBC021Source(BBBC021Dataset.model_validate(snakemake.params.dataset))
sheet, missing = source.plate_sheet(
    snakemake.params.plate,
    obtained(snakemake.input.archive),
    [obtained(table) for table in snakemake.input.tables],
    Path(snakemake.output.sheet).parent,
)
write_plate(sheet, snakemake.output.sheet, snakemake.output.missing, missing)
