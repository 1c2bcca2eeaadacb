from pathlib import Path

from morphpipe.core.storage import write_json
from morphpipe.morphology.environment import folder_of, make_environment, record_of
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
lock, environments = Path(snakemake.params.lock), Path(snakemake.params.environments)
made = make_environment(lock, folder_of(lock, environments), record_of(lock, environments))
write_json(
    {"lock_sha256": made.lock_sha256, "cellprofiler": made.cellprofiler}, snakemake.output.record
)
