"""Looking at every field once before anything is made of it: can it be read, is it any good."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.config.preprocessing import Quality
from morphpipe.core.errors import DataError
from morphpipe.imaging.quality import SMALLEST_SIDE, measure_quality, reasons
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable

# Columns of a quality table that are no measures. `reason` is null for a field that is used.
QUALITY_KEYS = (
    "field_id",
    "cell_type",
    "plate",
    "well",
    "perturbation",
    "reason",
    "pixels_sha256",
)
QUARANTINE_COLUMNS = ["field_id", "reason"]


def pixels_sha256(image: NDArray[Any]) -> str:
    """Hash of a field's values, equal for equal pixels however they were compressed."""
    digest = hashlib.sha256(f"{image.dtype} {image.shape}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def quality_row(
    row: dict[str, Any], image: NDArray[Any], channels: tuple[str, ...], quality: Quality
) -> dict[str, Any]:
    """The row of one field in the quality table.

    Parameters
    ----------
    row
        The field's row in the field table.
    image
        uint8 or uint16 [C, H, W], as acquired.
    channels
        Their names.
    quality
        The limits; the reason names every one that is broken. Fields below 32 pixels are not
        measured.

    Raises
    ------
    DataError
        When limits are set and the field is too small to be measured.
    """
    measures: dict[str, float] = {}
    if min(image.shape[1:]) >= SMALLEST_SIDE:
        nuclear = quality.nuclear if quality.nuclear in channels else None
        measures = measure_quality(image, channels, nuclear=nuclear, maximum=quality.saturated_at)
    elif quality.limits:
        raise DataError(
            f"Field {row.get('field_id')} of {image.shape[1]}x{image.shape[2]} pixels is too small "
            "to be measured: leave the limits of `quality` out."
        )
    why = "; ".join(reasons(measures, quality.limits))
    return {
        **{key: row.get(key) for key in QUALITY_KEYS},
        "reason": why or None,
        "pixels_sha256": pixels_sha256(image),
        **measures,
    }


def same_pixels(planes: Mapping[str, NDArray[Any]]) -> list[tuple[str, str]]:
    """Pairs of channels of one field whose planes are the same, unless these are constant.

    What two dyes show is never equal in every pixel: one plane stands there under two names.
    """
    return [
        (first, second)
        for first, second in combinations(planes, 2)
        # The first lines tell almost all planes apart.
        if np.array_equal(planes[first][0], planes[second][0])
        and np.array_equal(planes[first], planes[second])
        and planes[first].min() != planes[first].max()
    ]


def refuse_same_pixels(field_id: object, image: NDArray[Any], channels: Sequence[str]) -> None:
    """Stop at a field of which two channels are the same plane.

    Raises
    ------
    DataError
        Naming the channels.
    """
    pairs = same_pixels(dict(zip(channels, image, strict=True)))
    if pairs:
        raise DataError(
            f"Field {field_id}: the channels {' and '.join(pairs[0])} have the same pixels: one "
            "plane stands there under two names."
        )


def quality_control(fields: FieldTable, quality: Quality) -> pd.DataFrame:
    """Decode all planes of a shard, measure them, and say which fields are excluded and why.

    Parameters
    ----------
    fields
        The shard's rows.
    quality
        Limits, and whether an unreadable field stops the run.

    Returns
    -------
    pandas.DataFrame
        A row per field: `QUALITY_KEYS` and the measures of `morphpipe.imaging.quality`, which are
        null where a field cannot be read.

    Raises
    ------
    DataError
        When a field cannot be read and `quality.unreadable` says stop; or when the archive itself
        is not the one that the table was made from.
    """
    found = []
    rows = fields.rows()
    with FieldReader(fields) as reader:
        # A wrong archive is no fault of single fields.
        reader.open_archives()
        for number, row in enumerate(tqdm(rows, desc="look", unit="field", mininterval=5)):
            try:
                image = reader.read(number)
                refuse_same_pixels(row["field_id"], image, fields.manifest.names)
            except DataError as error:
                found.append(put_aside(row, error, quality))
            else:
                found.append(quality_row(row, image, fields.manifest.names, quality))
    return pd.DataFrame(found)


def put_aside(row: dict[str, Any], error: DataError, quality: Quality) -> dict[str, Any]:
    """The row of a field that cannot be read; stops where that is what is configured.

    Raises
    ------
    DataError
        When `quality.unreadable` says stop.
    """
    if quality.unreadable == "stop":
        raise DataError(
            f"{error} Fetch it again, or set the dataset's `quality: {{unreadable: quarantine}}` "
            "to leave such fields out and have them listed in the report."
        ) from None
    return {key: row.get(key) for key in QUALITY_KEYS} | {"reason": str(error)}


def quality_table(rows: pd.DataFrame) -> pa.Table:
    """The quality table as Parquet holds it, also when it is empty: keys strings, measures float64.

    A measure that some fields lack is null there.
    """
    columns: dict[str, pa.Array] = {}
    for key in QUALITY_KEYS:
        values = rows[key] if key in rows else [None] * len(rows)
        columns[key] = pa.array([None if pd.isna(v) else str(v) for v in values], pa.string())
    for name in rows.columns:
        if name not in QUALITY_KEYS:
            columns[name] = pa.array(rows[name].astype("float64"), from_pandas=True)
    return pa.table(columns)


def quarantine_of(quality: pd.DataFrame) -> pd.DataFrame:
    """`field_id` and `reason` of the fields that were excluded, as strings."""
    aside = quality[quality["reason"].notna()] if len(quality) else quality
    return aside.reindex(columns=QUARANTINE_COLUMNS).astype("string").reset_index(drop=True)
