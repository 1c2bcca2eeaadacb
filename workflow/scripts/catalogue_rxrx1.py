from pathlib import Path

import pyarrow as pa

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.sources.rxrx1_source import RxRx1Source
from morphpipe.tables.fields import write_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
source = RxRx1Source(RxRx1Dataset.model_validate(snakemake.params.dataset))
fields, missing = source.catalogue(
    snakemake.wildcards.dataset,
    obtained(snakemake.input.images),
    obtained(snakemake.input.metadata),
    Path(snakemake.output.fields).parent,
    genes=next(map(obtained, snakemake.input.genes), None),
)
write_fields(fields, snakemake.output.fields)
write_parquet(pa.Table.from_pandas(missing, preserve_index=False), snakemake.output.missing)
