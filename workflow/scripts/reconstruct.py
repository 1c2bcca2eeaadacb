from pathlib import Path

import torch

from morphpipe.console import log_to
from morphpipe.evaluation.metric_table import metric_table
from morphpipe.evaluation.reconstruction import measure_reconstruction
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
rows = measure_reconstruction(
    snakemake.input.fields,
    snakemake.input.split,
    Path(snakemake.input.codec).parent,
    batch_size=snakemake.params.batch_size,
    **snakemake.params.reconstruction,
)
write_parquet(metric_table(rows), snakemake.output.metrics)
