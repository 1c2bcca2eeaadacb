"""Feature tables: one row per image and orientation, one file per shard, encoder and view."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.core.storage import parquet_rows, read_parquet, write_parquet

_METADATA_KEY = b"morphpipe"


@dataclass(frozen=True)
class Extraction:
    """Provenance of features; features of different extractions are not comparable.

    Attributes
    ----------
    extractor
        The encoder's name in the configuration.
    kind
        `inception`, `openphenom` or `resnet18`.
    weights_sha256
        Checksum of its weights.
    view
        Input of the encoder: `all`, `rgb` or a channel's name.
    channels
        Channel names of the images, in order.
    """

    extractor: str
    kind: str
    weights_sha256: str
    view: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class FeatureTable:
    """Features of images in memory.

    Attributes
    ----------
    field_ids
        [n].
    transforms
        int8 [n], dihedral transform of the image.
    features
        float32 [n, d].
    extraction
        Provenance of the features.
    """

    field_ids: tuple[str, ...]
    transforms: NDArray[np.int8]
    features: NDArray[np.float32]
    extraction: Extraction


def write_features(table: FeatureTable, path: str | Path) -> None:
    """Write a feature table to Parquet.

    Raises
    ------
    DataError
        If a feature is not finite.
    """
    finite = np.isfinite(table.features).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{table.extraction.extractor} gives features that are not finite for the field "
            f"{table.field_ids[int(np.argmin(finite))]!r}: check its image."
        )
    width = table.features.shape[1]
    values = pa.array(np.ascontiguousarray(table.features, np.float32).reshape(-1))
    content = pa.table(
        {
            "field_id": pa.array(table.field_ids, pa.string()),
            "transform": pa.array(table.transforms, pa.int8()),
            "crop": pa.nulls(len(table.field_ids), pa.int32()),
            "features": pa.FixedSizeListArray.from_arrays(values, width),
        }
    )
    metadata = {_METADATA_KEY: json.dumps(asdict(table.extraction)).encode()}
    write_parquet(content.replace_schema_metadata(metadata), path)


def _extraction(content: pa.Table, path: str | Path) -> Extraction:
    metadata = (content.schema.metadata or {}).get(_METADATA_KEY)
    if metadata is None:
        raise DataError(f"{path} is not a feature table: its metadata lack the provenance.")
    described = json.loads(metadata)
    described["channels"] = tuple(described["channels"])
    return Extraction(**described)


def read_extraction(path: str | Path) -> Extraction:
    """Read the provenance of a feature table, without its features.

    Raises
    ------
    DataError
        If the file is missing or not a feature table.
    """
    return _extraction(read_parquet(path, columns=[], own=True), path)


def read_features(paths: Sequence[str | Path], *, untransformed: bool = False) -> FeatureTable:
    """Read and concatenate feature tables of several shards, with little memory overhead.

    Parameters
    ----------
    paths
        Tables of one encoder and view.
    untransformed
        Read only images in their original orientation.

    Raises
    ------
    DataError
        If a file is not a feature table, a feature is not finite, or encoders, weights, views or
        channels differ.
    """
    if not paths:
        raise DataError("There are no feature tables to read.")
    ids: list[str] = []
    made_in: dict[tuple[str, int], str] = {}
    transforms: list[NDArray[np.int8]] = []
    extraction: Extraction | None = None
    features = np.empty((0, 0), np.float32)
    number = sum(parquet_rows(path) for path in paths)
    for path in paths:
        content = read_parquet(path, own=True)
        found = _extraction(content, path)
        if extraction is None:
            extraction = found
        elif found != extraction:
            raise DataError(
                f"{path} was made by {found}, but {paths[0]} by {extraction}: delete the older of "
                "the two and rerun the workflow."
            )
        try:
            here = content["field_id"].to_pylist()
            transform = content["transform"].to_numpy().astype(np.int8)
            column = content["features"].combine_chunks()
            # Nulls become NaN.
            values = column.flatten().to_numpy(zero_copy_only=False)
            values = values.reshape(len(here), column.type.list_size)
            if not ids:
                features = np.empty((number, column.type.list_size), np.float32)
            if untransformed:
                kept = transform == 0
                here = [i for i, keep in zip(here, kept, strict=True) if keep]
                transform, values = transform[kept], values[kept]
            rows = features[len(ids) : len(ids) + len(here)]
            rows[:] = values
        except (KeyError, AttributeError, ValueError, pa.ArrowException) as error:
            raise DataError(
                f"{path} cannot be read as a feature table ({error}): delete it and rerun the "
                "workflow."
            ) from None
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise DataError(
                f"{path}: the features of field {here[int(np.argmin(finite))]!r} are not finite: "
                "delete the table and rerun the workflow."
            )
        for key in zip(here, transform.tolist(), strict=True):
            if key in made_in:
                raise DataError(
                    f"{path} has features of {key[0]!r}, and so does {made_in[key]}: one of them "
                    "is misplaced. Delete both and rerun the workflow."
                )
            made_in[key] = str(path)
        ids.extend(here)
        transforms.append(transform)
    assert extraction is not None
    return FeatureTable(tuple(ids), np.concatenate(transforms), features[: len(ids)], extraction)
