"""The field table: one row per field of view, real or generated, and its channel manifest."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.tables.manifest import ChannelManifest
from morphpipe.tables.zip_directory import ArchiveChecksum, relative_to

PLANE_TYPE = pa.struct(
    [
        # Relative to the folder of the table, so that both can be moved together.
        pa.field("file", pa.string(), nullable=False),
        # Null if the plane is a single file.
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        # "stored" or "deflated", as in the archive's directory; null for a single file.
        pa.field("compression", pa.string()),
    ]
)

FIELD_SCHEMA = pa.schema(
    [
        pa.field("field_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("cell_type", pa.string(), nullable=False),
        pa.field("batch", pa.string()),
        pa.field("plate", pa.string()),
        pa.field("well", pa.string()),
        pa.field("site", pa.int32()),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("perturbation", pa.string(), nullable=False),
        pa.field("perturbation_kind", pa.string(), nullable=False),
        pa.field("control", pa.string(), nullable=False),
        pa.field("concentration", pa.float64()),
        pa.field("gene", pa.string()),
        pa.field("smiles", pa.string()),
        pa.field("moa", pa.string()),
        pa.field("experiment", pa.string()),
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        pa.field("sample_index", pa.int64()),
        # The field that a generated one was made from: by a generator that starts from images, or
        # as its counterfactual.
        pa.field("start_field", pa.string()),
        pa.field("channels", pa.list_(PLANE_TYPE), nullable=False),
    ]
)

ORIGINS = ("real", "generated")
PERTURBATION_KINDS = ("sirna", "orf", "crispr", "compound", "none")
CONTROLS = ("negative", "positive", "none")

_PATH_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=+-]*")
# Metric tables use "all" for pooled values, and labels are joined by \x1f or \x00.
_POOLED = "all"
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_METADATA_KEY = b"morphpipe"


@dataclass(frozen=True)
class FieldTable:
    """A field table in memory.

    Attributes
    ----------
    table
        Rows in `FIELD_SCHEMA`.
    manifest
        Channel manifest of the planes.
    folder
        Base folder of the planes' files.
    checksums
        Archives of the rows, by file name.
    """

    table: pa.Table
    manifest: ChannelManifest
    folder: Path
    checksums: dict[str, ArchiveChecksum] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def field_ids(self) -> list[str]:
        """The rows' ids, in order."""
        return list(self.table["field_id"].to_pylist())

    def keys(self) -> pd.DataFrame:
        """All columns except the planes, for joins and grouping."""
        return self.table.drop_columns(["channels"]).to_pandas()

    def rows(self) -> list[dict[str, Any]]:
        """All rows as dictionaries."""
        return list(self.table.to_pylist())

    def planes(self) -> list[list[dict[str, Any]]]:
        """Locations of every row's planes, in channel order."""
        return list(self.table["channels"].to_pylist())

    def take(self, rows: np.ndarray | list[int]) -> "FieldTable":
        """Select rows by position, in this order."""
        chosen = self.table.take(pa.array(np.asarray(rows, dtype=np.int64)))
        return FieldTable(chosen, self.manifest, self.folder, self.checksums)

    def select(self, field_ids: Iterable[str]) -> "FieldTable":
        """Select rows by id, in the order of the table.

        Raises
        ------
        DataError
            If an id is not in the table.
        """
        wanted = set(field_ids)
        missing = wanted.difference(self.field_ids)
        if missing:
            raise DataError(
                f"{len(missing)} fields are not in the field table in {self.folder}, for example "
                f"{sorted(missing)[0]!r}: was the split made from another table?"
            )
        mask = pc.is_in(self.table["field_id"], pa.array(sorted(wanted), pa.string()))
        return FieldTable(self.table.filter(mask), self.manifest, self.folder, self.checksums)

    def without(self, field_ids: Iterable[str]) -> "FieldTable":
        """Drop rows by id."""
        out = pa.array(sorted(set(field_ids)), pa.string())
        mask = pc.invert(pc.is_in(self.table["field_id"], out))
        return FieldTable(self.table.filter(mask), self.manifest, self.folder, self.checksums)


def name_fault(name: str, *, pooled: bool = True) -> str | None:
    """Return why a perturbation or cell type cannot have this name, or None.

    Parameters
    ----------
    name
        The name.
    pooled
        Whether metric tables pool over it, so that "all" and the empty name are reserved.
    """
    if _CONTROL_CHARACTERS.search(name):
        return "it has a control character"
    if pooled and name == _POOLED:
        return "metric tables call what they pool by that name"
    return "it is empty" if pooled and not name else None


def check_fields(table: pa.Table, manifest: ChannelManifest, place: str) -> None:
    """Validate a field table.

    Parameters
    ----------
    table
        The rows.
    manifest
        Channel manifest of the planes.
    place
        File name, for the message.

    Raises
    ------
    DataError
        On a wrong schema, a missing required value, a repeated or unsafe field_id, an invalid name,
        an unknown origin, kind or control, or a wrong number of planes.
    """
    if not table.schema.equals(FIELD_SCHEMA, check_metadata=False):
        names = set(table.schema.names)
        raise DataError(
            f"{place} is not a field table: missing columns "
            f"{sorted(set(FIELD_SCHEMA.names) - names) or 'none'}, unknown columns "
            f"{sorted(names - set(FIELD_SCHEMA.names)) or 'none'}, or other types than "
            "FIELD_SCHEMA."
        )
    for column in FIELD_SCHEMA:
        # pyarrow accepts nulls in non-nullable columns.
        if not column.nullable and table[column.name].null_count:
            row = pc.index(pc.is_null(table[column.name]), True).as_py()
            raise DataError(
                f"{place}, row {row + 1}: the column {column.name} is empty, but required."
            )
    ids = table["field_id"].to_pylist()
    if len(set(ids)) != len(ids):
        repeated = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise DataError(
            f"{place} has the field {repeated!r} more than once: field_id must be unique."
        )
    unsafe = next((i for i in ids if not _PATH_SAFE.fullmatch(i) or ".." in i), None)
    if unsafe is not None:
        raise DataError(
            f"{place} has the field_id {unsafe!r}: only letters, digits, _ . = + - are allowed, "
            "since it is used in file names."
        )
    for column in ("cell_type", "perturbation", "batch", "plate", "well"):
        pooled = column in ("cell_type", "perturbation")
        for name in pc.unique(table[column]).drop_null().to_pylist():
            fault = name_fault(name, pooled=pooled)
            if fault is not None:
                raise DataError(
                    f"{place}, column {column}: {name!r} cannot be used as a name, since {fault}. "
                    "Rename it where the table was made."
                )
    for column, allowed in (
        ("origin", ORIGINS),
        ("perturbation_kind", PERTURBATION_KINDS),
        ("control", CONTROLS),
    ):
        found = set(pc.unique(table[column]).to_pylist()) - set(allowed)
        if found:
            raise DataError(
                f"{place}, column {column}: {sorted(map(str, found))[0]!r} is not one of "
                f"{', '.join(allowed)}."
            )
    counts = pc.list_value_length(table["channels"])
    wrong = pc.not_equal(counts, len(manifest.channels))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise DataError(
            f"{place}: field {ids[row]!r} has {counts[row].as_py()} planes, the manifest names "
            f"{len(manifest.channels)} ({', '.join(manifest.names)})."
        )


def _metadata(
    manifest: ChannelManifest, checksums: dict[str, ArchiveChecksum]
) -> dict[bytes, bytes]:
    content = {
        "manifest": manifest.to_dict(),
        "archives": [asdict(checksum) for _, checksum in sorted(checksums.items())],
    }
    return {_METADATA_KEY: json.dumps(content).encode()}


def with_metadata(fields: FieldTable) -> pa.Table:
    """The rows, with manifest and archive checksums in the schema's metadata."""
    return fields.table.replace_schema_metadata(_metadata(fields.manifest, fields.checksums))


def write_fields(fields: FieldTable, path: str | Path) -> None:
    """Validate a field table and write it to Parquet.

    Raises
    ------
    DataError
        See `check_fields`; or if `path` is not in the base folder of the planes.
    """
    path = Path(path)
    if path.parent.resolve() != fields.folder.resolve():
        raise DataError(
            f"The field table must be in {fields.folder}, since its plane locations are relative "
            f"to that folder, not to {path.parent}."
        )
    check_fields(fields.table, fields.manifest, str(path))
    write_parquet(with_metadata(fields), path)


def fields_from_table(table: pa.Table, folder: Path, place: str) -> FieldTable:
    """Build a `FieldTable` from rows with metadata in their schema."""
    metadata = (table.schema.metadata or {}).get(_METADATA_KEY)
    if metadata is None:
        raise DataError(
            f"{place} has no channel manifest: it was not written by morphpipe. Create it again "
            "from the images."
        )
    content = json.loads(metadata)
    manifest = ChannelManifest.from_dict(content["manifest"])
    checksums = {entry["file"]: ArchiveChecksum(**entry) for entry in content["archives"]}
    if "start_field" not in table.column_names and "channels" in table.column_names:
        # Archives of earlier versions have no such column.
        nothing = pa.nulls(table.num_rows, pa.string())
        table = table.add_column(table.column_names.index("channels"), "start_field", nothing)
    check_fields(table, manifest, place)
    return FieldTable(table.replace_schema_metadata(None), manifest, folder, checksums)


def concatenate(parts: list[FieldTable], folder: Path) -> FieldTable:
    """Concatenate tables, with plane locations relative to `folder`.

    Raises
    ------
    DataError
        If the manifests differ, or a field_id is in two parts.
    """
    if not parts:
        raise DataError("There are no field tables to join.")
    manifest = replace(parts[0].manifest, intensity_windows={})
    windows: dict[str, tuple[tuple[float, float], ...]] = {}
    tables = []
    checksums: dict[str, ArchiveChecksum] = {}
    for part in parts:
        windows |= part.manifest.intensity_windows
        if replace(part.manifest, intensity_windows={}) != manifest:
            raise DataError(
                f"The channel manifest in {part.folder} differs from that in {parts[0].folder}: "
                "images of different channels, sizes of pixels or licences cannot share a table."
            )
        renamed = {name: relative_to(part.folder / name, folder) for name in part.checksums}
        frame = part.table.to_pylist()
        for row in frame:
            for plane in row["channels"]:
                name = plane["file"]
                plane["file"] = renamed.get(name) or relative_to(part.folder / name, folder)
        tables.append(pa.Table.from_pylist(frame, schema=FIELD_SCHEMA))
        for name, checksum in part.checksums.items():
            checksums[renamed[name]] = replace(checksum, file=renamed[name])
    manifest = replace(manifest, intensity_windows=windows)
    joined = FieldTable(pa.concat_tables(tables), manifest, folder, checksums)
    check_fields(joined.table, manifest, str(folder))
    return joined


def plate_shards(fields: FieldTable, shards: int) -> np.ndarray:
    """Assign every field to a shard: the position of its plate among the sorted plates.

    Parameters
    ----------
    fields
        Real fields.
    shards
        Number of shards in the configuration.

    Returns
    -------
    numpy.ndarray
        int64 [n], 0 to shards - 1.

    Raises
    ------
    DataError
        If the table has another number of plates.
    """
    keys = fields.keys()
    plates = keys["batch"].astype(str) + "\x00" + keys["plate"].astype(str)
    codes, unique = pd.factorize(plates, sort=True)
    if len(unique) != shards:
        raise DataError(
            f"The field table in {fields.folder} has {len(unique)} plates, but the configuration "
            f"has {shards} shards: set the dataset's `shards` (or `plates`) to {len(unique)}."
        )
    return np.asarray(codes, dtype=np.int64)


def shard_of(fields: FieldTable, shard: int, shards: int) -> FieldTable:
    """Select the real fields of one shard, see `plate_shards`."""
    return fields.take(np.flatnonzero(plate_shards(fields, shards) == shard))
