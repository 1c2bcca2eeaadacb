from morphpipe.config.datasets import SheetDataset
from morphpipe.console import log_to
from morphpipe.datasets.plate_sheets import own_plate, write_plate

log_to(snakemake.log[0])
sheet, missing = own_plate(
    SheetDataset.model_validate(snakemake.params.dataset), snakemake.params.plate
)
write_plate(sheet, missing, snakemake.output.sheet, snakemake.output.missing)
