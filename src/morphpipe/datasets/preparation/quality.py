"""Quality control of fields: readability, duplicate channels and image quality."""

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

# Columns of a quality table other than measures. `reason` is null for fields that are used.
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
    """Hash the pixels of a field, independent of their compression."""
    digest = hashlib.sha256(f"{image.dtype} {image.shape}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def quality_row(
    row: dict[str, Any], image: NDArray[Any], channels: tuple[str, ...], quality: Quality
) -> dict[str, Any]:
    """Compute the row of one field in the quality table.

    Parameters
    ----------
    row
        The field's row in the field table.
    image
        uint8 or uint16 [C, H, W], as acquired.
    channels
        Their names.
    quality
        The limits; the reason lists all violations. Fields below 32 pixels are not measured.

    Raises
    ------
    DataError
        If limits are set and the field is too small to be measured.
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
    """Find pairs of channels with identical, non-constant planes.

    Two dyes never agree in every pixel: one plane was given two names.
    """
    return [
        (first, second)
        for first, second in combinations(planes, 2)
        # The first lines distinguish almost all planes.
        if np.array_equal(planes[first][0], planes[second][0])
        and np.array_equal(planes[first], planes[second])
        and planes[first].min() != planes[first].max()
    ]


def refuse_same_pixels(field_id: object, image: NDArray[Any], channels: Sequence[str]) -> None:
    """Reject a field with two identical channels.

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
    """Decode and measure all planes of a shard, with the reasons for excluding fields.

    Parameters
    ----------
    fields
        The shard's rows.
    quality
        Limits, and the handling of unreadable fields.

    Returns
    -------
    pandas.DataFrame
        One row per field: `QUALITY_KEYS` and the measures of `morphpipe.imaging.quality`, null for
        unreadable fields.

    Raises
    ------
    DataError
        If a field is unreadable and `quality.unreadable` is `stop`, or the archive is not the one
        that the table was made from.
    """
    found = []
    rows = fields.rows()
    with FieldReader(fields) as reader:
        # A wrong archive is not a fault of single fields.
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
    """Return the row of an unreadable field, or raise if so configured.

    Raises
    ------
    DataError
        If `quality.unreadable` is `stop`.
    """
    if quality.unreadable == "stop":
        raise DataError(
            f"{error} Download it again, or set the dataset's `quality: "
            f"{{unreadable: quarantine}}` to leave such fields out and have them listed in the "
            "report."
        ) from None
    return {key: row.get(key) for key in QUALITY_KEYS} | {"reason": str(error)}


def quality_table(rows: pd.DataFrame) -> pa.Table:
    """Convert a quality table to Arrow with fixed types, even if empty.

    Keys are strings and measures float64, null for fields that lack a measure.
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
    """`field_id` and `reason` of the excluded fields, as strings."""
    aside = quality[quality["reason"].notna()] if len(quality) else quality
    return aside.reindex(columns=QUARANTINE_COLUMNS).astype("string").reset_index(drop=True)
