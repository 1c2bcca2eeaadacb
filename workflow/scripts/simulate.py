from morphpipe.config.datasets import SimulatedDataset
from morphpipe.console import log_to
from morphpipe.datasets.simulated.source import screen_design, simulate_plate

log_to(snakemake.log[0])
simulate_plate(
    screen_design(SimulatedDataset.model_validate(snakemake.params.dataset)),
    int(snakemake.wildcards.shard) + 1,
    snakemake.wildcards.dataset,
    snakemake.output.archive,
)
