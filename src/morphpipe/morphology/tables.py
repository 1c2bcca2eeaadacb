"""Tables of measurements: schemas, writing and reading."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.core.storage import parquet_writer, read_parquet, read_parquet_schema

METADATA_KEY = b"morphpipe.morphology"
MEASURED = "measured"
FAILED = "failed"

# Row keys; the following columns are measurements under CellProfiler's names.
IMAGE_KEYS = pa.schema(
    [
        pa.field("field_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        # Reason of a failure; null for measured fields.
        pa.field("reason", pa.string()),
    ]
)
# Wall-clock time of a field; only in tables of batches, since it differs between runs.
SECONDS = "seconds"
OBJECT_KEYS = pa.schema(
    [
        pa.field("field_id", pa.string(), nullable=False),
        # The pipeline's name of the objects, such as Nuclei, Cells or Cytoplasm.
        pa.field("compartment", pa.string(), nullable=False),
        # CellProfiler's object number, counted from 1: the value in the label image.
        pa.field("object", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class MeasurementSource:
    """Provenance of a table; tables with different sources cannot be merged.

    Attributes
    ----------
    pipeline
        File name of the `.cppipe`.
    pipeline_sha256
        SHA-256 of its content.
    cellprofiler
        Version.
    channels
        Channel by the pipeline's image name.
    images
        `channels`, or `rgb` for red, green and blue of rendered fields.
    """

    pipeline: str
    pipeline_sha256: str
    cellprofiler: str
    channels: dict[str, str]
    images: str

    def metadata(self) -> dict[bytes, bytes]:
        """As metadata of a Parquet schema."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True).encode()}


@dataclass
class FieldMeasurements:
    """Result of one field.

    Attributes
    ----------
    field_id
        The field.
    reason
        Reason of the failure, in one sentence, or None.
    seconds
        Wall-clock time.
    image
        Measurements of the whole image; empty if it failed.
    objects
        One value per object, by compartment and measurement; empty if it failed.
    """

    field_id: str
    reason: str | None
    seconds: float
    image: dict[str, float]
    objects: dict[str, dict[str, NDArray[np.float64]]]


def image_table(fields: Sequence[FieldMeasurements], features: Iterable[str]) -> pa.Table:
    """Build the image table: `IMAGE_KEYS`, `SECONDS`, then a float64 column per measurement.

    Parameters
    ----------
    fields
        In the order of the rows.
    features
        Columns that are always present, followed by further measurements of fields. Missing values
        and NaN are null.
    """
    columns: dict[str, pa.Array] = {
        "field_id": pa.array([field.field_id for field in fields], pa.string()),
        "status": pa.array(
            [MEASURED if field.reason is None else FAILED for field in fields], pa.string()
        ),
        "reason": pa.array([field.reason for field in fields], pa.string()),
        SECONDS: pa.array([field.seconds for field in fields], pa.float64()),
    }
    schema = [*IMAGE_KEYS, pa.field(SECONDS, pa.float64())]
    for name in dict.fromkeys([*features, *(name for field in fields for name in field.image)]):
        values = np.array([field.image.get(name, np.nan) for field in fields], np.float64)
        columns[name] = pa.array(values, pa.float64(), from_pandas=True)
        schema.append(pa.field(name, pa.float64()))
    return pa.table(columns, schema=pa.schema(schema))


def object_table(
    fields: Sequence[FieldMeasurements], features: Mapping[str, Iterable[str]]
) -> pa.Table:
    """Build the object table: `OBJECT_KEYS`, then float32 measurements.

    Parameters
    ----------
    fields
        In the order of the rows; within a field, compartments as in `features`.
    features
        Measurements by compartment: columns that are always present, followed by further
        measurements. Missing values and NaN are null.
    """
    names = dict.fromkeys(name for declared in features.values() for name in declared)
    blocks: list[tuple[str, str, int, dict[str, NDArray[np.float64]]]] = []
    for field in fields:
        for compartment in dict.fromkeys([*features, *field.objects]):
            measured = field.objects.get(compartment, {})
            number = max((len(values) for values in measured.values()), default=0)
            blocks.append((field.field_id, compartment, number, measured))
            names |= dict.fromkeys(measured)
    places = {name: place for place, name in enumerate(names)}
    total = sum(number for _, _, number, _ in blocks)
    # One measurement's values of a batch are contiguous, as its column needs.
    matrix = np.full((len(places), total), np.nan, np.float32)
    start = 0
    for _, _, number, measured in blocks:
        for name, values in measured.items():
            matrix[places[name], start : start + len(values)] = values
        start += number
    counts = [number for _, _, number, _ in blocks]

    def repeated(values: list[str]) -> NDArray[np.object_]:
        # dtype object, since an empty array of text has no type.
        whole: NDArray[np.object_] = np.repeat(np.array(values, object), counts)
        return whole

    columns: dict[str, pa.Array] = {
        "field_id": pa.array(repeated([block[0] for block in blocks]), pa.string()),
        "compartment": pa.array(repeated([block[1] for block in blocks]), pa.string()),
        "object": pa.array(
            np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in (*counts, 0)]), pa.int32()
        ),
    }
    for name, place in places.items():
        columns[name] = pa.array(matrix[place], pa.float32(), from_pandas=True)
    schema = [*OBJECT_KEYS, *(pa.field(name, pa.float32()) for name in places)]
    return pa.table(columns, schema=pa.schema(schema))


def join(parts: Sequence[Path], output: Path, source: MeasurementSource) -> int:
    """Concatenate tables of batches, one row group per batch, in bounded memory. Times are dropped.

    Parameters
    ----------
    parts
        Parquet files in order; missing columns are null.
    output
        Written atomically, with checksums.
    source
        For the file's metadata.

    Returns
    -------
    int
        The number of rows.
    """
    # Columns keep the order of first occurrence.
    columns: dict[str, pa.Field] = {}
    for part in parts:
        columns |= {f.name: f for f in read_parquet_schema(part) if f.name not in columns}
    columns.pop(SECONDS, None)
    schema = pa.schema(list(columns.values()), metadata=source.metadata())
    rows = 0
    with parquet_writer(output, schema) as writer:
        for part in parts:
            table = read_parquet(part)
            arrays = [
                table[field.name]
                if field.name in table.schema.names
                else pa.nulls(len(table), field.type)
                for field in schema
            ]
            if len(table):
                whole = pa.table(arrays, schema=schema)
                writer.write_table(whole, row_group_size=len(whole))
            rows += len(table)
    return rows


def read_source(path: str | Path) -> MeasurementSource:
    """Read the source of a table of measurements.

    Raises
    ------
    DataError
        If the file is missing or not such a table.
    """
    metadata = read_parquet_schema(path).metadata or {}
    if METADATA_KEY not in metadata:
        raise DataError(f"{path} is no table of measurements: it names no CellProfiler pipeline.")
    return MeasurementSource(**json.loads(metadata[METADATA_KEY]))


def common_source(paths: Sequence[str | Path]) -> MeasurementSource:
    """Read the common source of several tables.

    Raises
    ------
    DataError
        If there are none, or they differ.
    """
    if not paths:
        raise DataError("There are no tables of measurements to read.")
    first = read_source(paths[0])
    for path in paths[1:]:
        other = asdict(read_source(path))
        for key, value in asdict(first).items():
            if other[key] != value:
                raise DataError(
                    f"{paths[0]} and {path} were measured differently: {key} is {value!r} in the "
                    f"first and {other[key]!r} in the second. Use the same settings."
                )
    return first


def read_image_measurements(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read and concatenate several image tables.

    Returns
    -------
    pandas.DataFrame
        field_id, status, reason, then the measurements; missing ones are null.

    Raises
    ------
    DataError
        If a table is missing or damaged, sources differ, or a field is in two tables.
    """
    common_source(paths)
    frame = pd.concat(
        [read_parquet(path, own=True).to_pandas() for path in paths], ignore_index=True
    )
    repeated = frame["field_id"].duplicated()
    if repeated.any():
        raise DataError(
            f"The field {frame['field_id'][repeated].iloc[0]!r} was measured more than once in "
            f"{', '.join(map(str, paths))}: pass each table once."
        )
    return frame


def iterate_objects(
    paths: Sequence[str | Path], columns: list[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Iterate over several object tables.

    Parameters
    ----------
    paths
        Tables of objects.
    columns
        Columns to read; None for all.

    Yields
    ------
    pandas.DataFrame
        field_id, compartment, object, then the measurements.

    Raises
    ------
    DataError
        If a table is missing or damaged, or sources differ.
    """
    common_source(paths)
    for path in paths:
        yield read_parquet(path, columns, own=True).to_pandas()
