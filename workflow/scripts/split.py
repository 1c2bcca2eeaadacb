import pyarrow as pa

from morphpipe.config.splits import Split
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.datasets.splits.leakage import check_leakage
from morphpipe.datasets.splits.table import make_split, write_split
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
settings = Split.model_validate(snakemake.params.split)
fields = read_fields(snakemake.input.fields).keys()
split = make_split(fields, settings)
found = check_leakage(split, fields, settings, read_parquet(snakemake.input.quality).to_pandas())
write_parquet(pa.Table.from_pandas(found, preserve_index=False), snakemake.output.leakage)
write_split(split, snakemake.output.split)
