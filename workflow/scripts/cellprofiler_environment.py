from pathlib import Path

from morphpipe.console import log_to
from morphpipe.morphology.environment import folder_of, make_environment

log_to(snakemake.log[0])
lock, record = Path(snakemake.params.lock), Path(snakemake.output.record)
make_environment(lock, folder_of(lock, record.parent), record)
