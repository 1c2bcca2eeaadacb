"""Jobs on real images: sheets, catalogues, simulated plates, splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from morphpipe.config.datasets import RxRx1Dataset, SimulatedDataset, parse_dataset
from morphpipe.config.splits import Split
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.preparation.quality import QUARANTINE_COLUMNS
from morphpipe.datasets.preparation.tables import write_quality
from morphpipe.datasets.simulated.source import screen_design, simulate_plate
from morphpipe.datasets.sources.registry import source_of
from morphpipe.datasets.sources.rxrx1_source import RxRx1Source
from morphpipe.datasets.sources.sheet import write_sheet
from morphpipe.datasets.sources.source import RawSource
from morphpipe.datasets.splits.leakage import check_leakage
from morphpipe.datasets.splits.table import make_split, write_split
from morphpipe.tables.archive import read_fields
from morphpipe.tables.fields import write_fields


def write_plate_sheet(
    settings: Mapping[str, Any],
    plate: str,
    records: Mapping[str, str | Sequence[str]],
    sheet: str | Path,
    missing: str | Path,
) -> None:
    """Write the sample sheet of a plate, and the table of fields without images.

    Parameters
    ----------
    settings
        A dataset of the configuration, plain values.
    plate
        One of its plates.
    records
        Records of the downloaded files by name, see `RawSource.plate_sheet`.
    sheet, missing
        The two tables to write.
    """
    source = source_of(parse_dataset(settings))
    if not isinstance(source, RawSource):
        raise TypeError(f"{type(source).__name__} has no sample sheets")
    files = {
        name: [obtained(found)] if isinstance(found, str) else [obtained(one) for one in found]
        for name, found in records.items()
    }
    fields, absent = source.plate_sheet(plate, files, Path(sheet).parent)
    write_sheet(fields, sheet)
    table = absent.reindex(columns=QUARANTINE_COLUMNS).astype("string")
    write_parquet(pa.Table.from_pandas(table, preserve_index=False), missing)


def write_catalogue(
    dataset: str,
    settings: Mapping[str, Any],
    images: str,
    metadata: str,
    genes: Sequence[str],
    fields: str | Path,
    missing: str | Path,
) -> None:
    """Write the field table of RxRx1's archive, and the table of fields without images.

    Parameters
    ----------
    dataset, settings
        Name and configuration of the dataset.
    images, metadata, genes
        Records of the downloaded files; `genes` is empty where no table of genes is configured.
    fields, missing
        The two tables to write.
    """
    table, absent = RxRx1Source(RxRx1Dataset.model_validate(settings)).catalogue(
        dataset,
        obtained(images),
        obtained(metadata),
        Path(fields).parent,
        genes=next(map(obtained, genes), None),
    )
    write_fields(table, fields)
    write_parquet(pa.Table.from_pandas(absent, preserve_index=False), missing)


def simulate_shard(
    dataset: str, settings: Mapping[str, Any], shard: int, archive: str, quality: str
) -> None:
    """Simulate one plate: a function of the screen's seed and the plate's number."""
    plate = shard + 1
    screen = SimulatedDataset.model_validate(dict(settings) | {"plates": plate})
    simulate_plate(screen_design(screen), plate, dataset, archive, screen.rgb)
    write_quality(archive, quality)


def split_fields(
    settings: Mapping[str, Any], fields: str, quality: str, split: str, leakage: str
) -> None:
    """Write a split table, and the table of what stands on several sides of it."""
    wanted, keys = Split.model_validate(settings), read_fields(fields).keys()
    table = make_split(keys, wanted)
    found = check_leakage(table, keys, wanted, read_parquet(quality).to_pandas())
    write_parquet(pa.Table.from_pandas(found, preserve_index=False), leakage)
    write_split(table, split)
