from morphpipe.config.datasets import Split
from morphpipe.console import log_to
from morphpipe.datasets.fields import read_fields
from morphpipe.evaluation.split_table import make_split, write_split

log_to(snakemake.log[0])
split = Split.model_validate(snakemake.params.split)
write_split(make_split(read_fields(snakemake.input.fields).keys(), split), snakemake.output.split)
