from morphpipe.config.datasets import SheetDataset
from morphpipe.datasets.preparation.tables import write_plate
from morphpipe.datasets.sources.sheet_source import SheetSource
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
source = SheetSource(SheetDataset.model_validate(snakemake.params.dataset))
sheet = source.plate_sheet(snakemake.params.plate)
write_plate(sheet, snakemake.output.sheet, snakemake.output.missing)
