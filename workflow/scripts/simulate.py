from morphpipe.config.datasets import SimulatedDataset
from morphpipe.datasets.preparation.tables import write_quality
from morphpipe.datasets.simulated.source import screen_design, simulate_plate
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
# One plate is a function of the screen's seed and its own number.
plate = int(snakemake.wildcards.shard) + 1
dataset = SimulatedDataset.model_validate(snakemake.params.dataset | {"plates": plate})
simulate_plate(
    screen_design(dataset),
    plate,
    snakemake.wildcards.dataset,
    snakemake.output.archive,
    dataset.rgb,
)
write_quality(snakemake.output.archive, snakemake.output.quality)
