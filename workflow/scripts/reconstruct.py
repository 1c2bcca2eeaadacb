from pathlib import Path

import torch

from morphpipe.evaluation.metric_table import metric_table
from morphpipe.evaluation.reconstruction import measure_reconstruction
from morphpipe.job import start_job
from morphpipe.storage import write_parquet

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
