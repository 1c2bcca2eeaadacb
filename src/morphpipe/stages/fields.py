"""Jobs on real images: sheets, catalogues, simulated plates, splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from morphpipe.config.datasets import SimulatedDataset, parse_dataset
from morphpipe.config.splits import Split
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.datasets.fetch.obtain import obtained
from morphpipe.datasets.preparation.quality import QUARANTINE_COLUMNS
from morphpipe.datasets.preparation.tables import write_quality
from morphpipe.datasets.simulated.source import screen_design, simulate_plate
from morphpipe.datasets.sources.registry import source_of
from morphpipe.datasets.sources.sheet import write_sheet
from morphpipe.datasets.sources.source import InPlaceSource, RawSource
from morphpipe.datasets.splits.leakage import check_leakage
from morphpipe.datasets.splits.table import make_split, write_split
from morphpipe.tables.archive import read_fields
from morphpipe.tables.fields import write_fields


def _obtained(records: Mapping[str, str | Sequence[str]]) -> dict[str, list[Path]]:
    """Downloaded files next to their records; what is no record is a file of one's own."""
    listed = {n: [found] if isinstance(found, str) else list(found) for n, found in records.items()}
    return {
        name: [obtained(path) if path.endswith(".json") else Path(path) for path in paths]
        for name, paths in listed.items()
    }


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
    fields, absent = source.plate_sheet(plate, _obtained(records), Path(sheet).parent)
    write_sheet(fields, sheet)
    _write_missing(absent, missing)


def write_catalogue(
    dataset: str,
    settings: Mapping[str, Any],
    records: Mapping[str, str | Sequence[str]],
    fields: str | Path,
    missing: str | Path,
) -> None:
    """Write the table of all fields of a dataset that is read in place.

    Parameters
    ----------
    dataset, settings
        Name and configuration of the dataset.
    records
        Records of the downloaded files by name, see `InPlaceSource.catalogue`.
    fields, missing
        The field table to write, and the table of fields without images.
    """
    source = source_of(parse_dataset(settings))
    if not isinstance(source, InPlaceSource):
        raise TypeError(f"{type(source).__name__} is not read in place")
    table, absent = source.catalogue(dataset, _obtained(records), Path(fields).parent)
    write_fields(table, fields)
    _write_missing(absent, missing)


def _write_missing(absent: pd.DataFrame, path: str | Path) -> None:
    table = absent.reindex(columns=QUARANTINE_COLUMNS).astype("string")
    write_parquet(pa.Table.from_pandas(table, preserve_index=False), path)


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
