from pathlib import Path

import pyarrow as pa

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.console import log_to
from morphpipe.datasets.fields import write_fields
from morphpipe.datasets.rxrx1 import build_fields
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
dataset = RxRx1Dataset.model_validate(snakemake.params.dataset)
fields, quarantine = build_fields(
    snakemake.input.images,
    snakemake.input.metadata,
    Path(snakemake.output.fields).parent,
    dataset=snakemake.wildcards.dataset,
    cell_types=dataset.cell_types,
    perturbations=dataset.perturbations,
    quarantine=dataset.quarantine,
)
write_fields(fields, snakemake.output.fields)
write_parquet(pa.Table.from_pandas(quarantine, preserve_index=False), snakemake.output.quarantine)
