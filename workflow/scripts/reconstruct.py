from pathlib import Path

import torch

from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.reconstruction import measure_reconstruction
from morphpipe.tables.lineage import start_job
from morphpipe.tables.metric_table import metric_table

start_job(snakemake.log[0], snakemake.input)
torch.set_num_threads(snakemake.threads)
rows = measure_reconstruction(
    snakemake.input.fields,
    snakemake.input.split,
    Path(snakemake.input.codec).parent,
    batch_size=snakemake.params.batch_size,
    **snakemake.params.reconstruction,
)
write_parquet(metric_table(rows), snakemake.output.metrics)
