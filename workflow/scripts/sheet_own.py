from morphpipe.config.datasets import SheetDataset
from morphpipe.datasets.sources.plate_sheets import own_plate, write_plate
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
sheet, missing = own_plate(
    SheetDataset.model_validate(snakemake.params.dataset), snakemake.params.plate
)
write_plate(sheet, missing, snakemake.output.sheet, snakemake.output.missing)
