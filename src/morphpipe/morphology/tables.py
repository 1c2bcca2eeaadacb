"""The tables of measurements: what stands in them, how they are written and read back."""

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

# What names a row; the columns behind these are measurements under CellProfiler's own names.
IMAGE_KEYS = pa.schema(
    [
        pa.field("field_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        # Why a field failed; null where it was measured.
        pa.field("reason", pa.string()),
    ]
)
# Wall-clock time of a field: in the tables of batches only, since two runs differ in it.
SECONDS = "seconds"
OBJECT_KEYS = pa.schema(
    [
        pa.field("field_id", pa.string(), nullable=False),
        # The pipeline's own name of the objects, such as Nuclei, Cells or Cytoplasm.
        pa.field("compartment", pa.string(), nullable=False),
        # CellProfiler's object number, counted from 1: the value in the label image.
        pa.field("object", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class MeasurementSource:
    """What a table was measured with. Tables of other sources cannot be put together.

    Attributes
    ----------
    pipeline
        File name of the `.cppipe`.
    pipeline_sha256
        Of its bytes.
    cellprofiler
        Version.
    channels
        The pipeline's image name to the channel of the fields that it was given.
    images
        `channels`, or `rgb` where the channels are red, green and blue of the rendered fields.
    """

    pipeline: str
    pipeline_sha256: str
    cellprofiler: str
    channels: dict[str, str]
    images: str

    def metadata(self) -> dict[bytes, bytes]:
        """The metadata of a Parquet schema that carries this."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True).encode()}


@dataclass
class FieldMeasurements:
    """What came of one field.

    Attributes
    ----------
    field_id
        The field.
    reason
        Why it failed, in one sentence, or none.
    seconds
        Wall-clock time.
    image
        Measurements of the whole image; empty where it failed.
    objects
        By compartment, by measurement: one value per object; empty where it failed.
    """

    field_id: str
    reason: str | None
    seconds: float
    image: dict[str, float]
    objects: dict[str, dict[str, NDArray[np.float64]]]


def image_table(fields: Sequence[FieldMeasurements], features: Iterable[str]) -> pa.Table:
    """The rows of some fields: `IMAGE_KEYS`, `SECONDS`, then a float64 column per measurement.

    Parameters
    ----------
    fields
        In the order of the rows.
    features
        Columns that are there even where no field has them; those that fields have besides come
        after them. What a field lacks, and NaN, is null.
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
    """The rows of the objects of some fields: `OBJECT_KEYS`, then float32 measurements.

    Parameters
    ----------
    fields
        In the order of the rows; within a field, compartments as in `features`.
    features
        By compartment, its measurements: columns that are there even where no object is. Those
        that fields have besides come after them. A compartment that lacks a measurement, and NaN,
        is null.
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
    # One measurement's values of a batch lie together, as its column wants them.
    matrix = np.full((len(places), total), np.nan, np.float32)
    start = 0
    for _, _, number, measured in blocks:
        for name, values in measured.items():
            matrix[places[name], start : start + len(values)] = values
        start += number
    counts = [number for _, _, number, _ in blocks]

    def repeated(values: list[str]) -> NDArray[np.object_]:
        # Of objects, since an empty array of text has no type of its own.
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
    """Put tables of batches below each other, a row group per batch, in bounded memory.

    Times are left out.

    Parameters
    ----------
    parts
        Parquet files in order; a column that some of them lack is null there.
    output
        Written atomically, with checksums.
    source
        For the file's metadata.

    Returns
    -------
    int
        The number of rows.
    """
    # Columns keep the order in which they are first met.
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
    """What a table of measurements was made with.

    Raises
    ------
    DataError
        When the file is missing or is no such table.
    """
    metadata = read_parquet_schema(path).metadata or {}
    if METADATA_KEY not in metadata:
        raise DataError(f"{path} is no table of measurements: it names no CellProfiler pipeline.")
    return MeasurementSource(**json.loads(metadata[METADATA_KEY]))


def common_source(paths: Sequence[str | Path]) -> MeasurementSource:
    """What several tables were made with, which has to be the same.

    Raises
    ------
    DataError
        When there are none, or they differ; naming the first that differs, and in what.
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
                    f"first and {other[key]!r} in the second. Measure them alike."
                )
    return first


def read_image_measurements(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Measurements of whole images of several tables, below each other.

    Returns
    -------
    pandas.DataFrame
        field_id, status, reason, then the measurements; a measurement that a table
        lacks is null there.

    Raises
    ------
    DataError
        When a table is missing or damaged, the tables were made differently, or a field stands
        in two of them.
    """
    common_source(paths)
    frame = pd.concat(
        [read_parquet(path, own=True).to_pandas() for path in paths], ignore_index=True
    )
    repeated = frame["field_id"].duplicated()
    if repeated.any():
        raise DataError(
            f"The field {frame['field_id'][repeated].iloc[0]!r} was measured more than once in "
            f"{', '.join(map(str, paths))}: name each table once."
        )
    return frame


def iterate_objects(
    paths: Sequence[str | Path], columns: list[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Measurements of objects, one table's at a time.

    Parameters
    ----------
    paths
        Tables of objects.
    columns
        Only these; default: all.

    Yields
    ------
    pandas.DataFrame
        field_id, compartment, object, then the measurements.

    Raises
    ------
    DataError
        When a table is missing or damaged, or the tables were made differently.
    """
    common_source(paths)
    for path in paths:
        yield read_parquet(path, columns, own=True).to_pandas()
