import pyarrow as pa

from morphpipe.config.splits import Split
from morphpipe.datasets.fields import read_fields
from morphpipe.evaluation.leakage import check_leakage
from morphpipe.evaluation.split_table import make_split, write_split
from morphpipe.job import start_job
from morphpipe.storage import read_parquet, write_parquet

start_job(snakemake.log[0], snakemake.input)
settings = Split.model_validate(snakemake.params.split)
fields = read_fields(snakemake.input.fields).keys()
split = make_split(fields, settings)
found = check_leakage(split, fields, settings, read_parquet(snakemake.input.quality).to_pandas())
write_parquet(pa.Table.from_pandas(found, preserve_index=False), snakemake.output.leakage)
write_split(split, snakemake.output.split)
