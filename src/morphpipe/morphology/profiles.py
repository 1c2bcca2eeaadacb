"""Profiles: measurements aggregated to one row of features per field or well.

Columns are `Metadata_…` (of the field), `<Compartment>_<measurement>` (median over the field's
objects) and `Image_<measurement>` (of the whole image), following pycytominer. Fields without cells
have null object features.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pycytominer import aggregate

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.morphology.feature_names import CELL_COUNT, IMAGE, METADATA, is_identifier
from morphpipe.morphology.tables import (
    IMAGE_KEYS,
    MEASURED,
    OBJECT_KEYS,
    MeasurementSource,
    common_source,
    iterate_objects,
    read_image_measurements,
)
from morphpipe.tables.archive import read_fields

METADATA_COLUMNS = [
    "field_id",
    "origin",
    "cell_type",
    "batch",
    "plate",
    "well",
    "perturbation",
    "concentration",
    "moa",
    "control",
    "training_seed",
    "sampling_seed",
]
# Metadata shared by fields of a well.
_WELL = [c for c in METADATA_COLUMNS if c not in ("field_id", "training_seed", "sampling_seed")]
_PROFILES_KEY = b"morphpipe.profiles"


@dataclass(frozen=True)
class Profiles:
    """Profiles of fields.

    Attributes
    ----------
    table
        One row per measured field: `METADATA_COLUMNS` with the prefix ``Metadata_``, then float64
        features; NaN if not measurable.
    source
        Provenance of the measurements.
    failed
        Number of fields whose measurement failed and which have no row.
    """

    table: pd.DataFrame
    source: MeasurementSource
    failed: int = 0

    def __len__(self) -> int:
        """Number of fields."""
        return len(self.table)


def feature_columns(profiles: pd.DataFrame) -> list[str]:
    """Names of the features: all columns that are not metadata."""
    return [column for column in profiles.columns if not column.startswith(METADATA)]


def cell_counts(profiles: pd.DataFrame) -> pd.Series:
    """Number of nuclei of each field, int64 [n].

    Raises
    ------
    DataError
        If nuclei were not counted.
    """
    if CELL_COUNT not in profiles or profiles[CELL_COUNT].isna().any():
        raise DataError(
            f"the profiles lack {CELL_COUNT}: a pipeline has to identify objects named Nuclei."
        )
    return profiles[CELL_COUNT].astype("int64")


def field_profiles(
    images: Sequence[str | Path],
    objects: Sequence[str | Path],
    fields: Sequence[str | Path],
) -> Profiles:
    """Aggregate measurements to one profile per field.

    Objects are aggregated by their median (pycytominer's ``aggregate``), table by table, so that
    memory grows with fields, not cells. Object numbers (parents, closest neighbours) are dropped.

    Parameters
    ----------
    images, objects
        Tables of measurements of the same fields; a field's objects must be in one table.
    fields
        Field tables (Parquet or image archives) with these fields.

    Raises
    ------
    DataError
        If tables do not match, or a field is missing from every field table.
    """
    source = common_source([*images, *objects])
    of_images = read_image_measurements(images)
    measured = of_images[of_images["status"] == MEASURED]
    parts = [_aggregated(table) for table in iterate_objects(objects)]
    of_objects = pd.concat(parts) if parts else pd.DataFrame()
    if of_objects.index.has_duplicates:
        name = of_objects.index[of_objects.index.duplicated()][0]
        raise DataError(f"objects of the field {name!r} are in two tables: pass each table once.")
    strange = of_objects.index.difference(pd.Index(measured["field_id"]))
    if len(strange):
        raise DataError(
            f"{len(strange)} fields have objects but no measured image, e.g. {strange[0]!r}: pass "
            "tables of objects and images of the same fields."
        )
    keys = _keys(fields, measured["field_id"])
    whole = measured.drop(columns=IMAGE_KEYS.names).set_axis(keys.index).add_prefix(f"{IMAGE}_")
    features = pd.concat([of_objects.reindex(keys.index), whole.astype("float64")], axis=1)
    # The compartment lacks measurements that no field has.
    features = features.loc[:, features.notna().any()]
    table = pd.concat([keys.add_prefix(METADATA), features], axis=1).reset_index(drop=True)
    return Profiles(table, source, int(len(of_images) - len(measured)))


def _aggregated(objects: pd.DataFrame) -> pd.DataFrame:
    """Medians over each field's objects: one row per field, a column per feature."""
    measurements = [
        name for name in objects if name not in OBJECT_KEYS.names and not is_identifier(name)
    ]
    parts = []
    for compartment, rows in objects.groupby("compartment", sort=True):
        medians = aggregate(
            rows, strata=["field_id"], features=measurements, operation="median"
        ).set_index("field_id")
        parts.append(medians.add_prefix(f"{compartment}_"))
    return pd.concat(parts, axis=1) if parts else pd.DataFrame(index=pd.Index([], dtype=object))


def _keys(paths: Sequence[str | Path], field_ids: pd.Series) -> pd.DataFrame:
    tables = [read_fields(path).keys()[METADATA_COLUMNS] for path in paths]
    keys = pd.concat(tables, ignore_index=True).set_index("field_id", drop=False)
    missing = field_ids[~field_ids.isin(keys.index)]
    if len(missing):
        raise DataError(
            f"{len(missing)} measured fields are missing from every field table, e.g. "
            f"{missing.iloc[0]!r}: measure again, or pass the field tables of the measurements."
        )
    return keys.loc[field_ids]


def well_profiles(profiles: pd.DataFrame) -> pd.DataFrame:
    """Aggregate profiles of real fields to wells by the median.

    Fields without cells do not contribute to object features. Generated images have no wells.

    Returns
    -------
    pandas.DataFrame
        One row per well, with the shared metadata of its fields and their number
        ``Metadata_fields``.

    Raises
    ------
    DataError
        If a field has no well, e.g. a generated one.
    """
    strata = [f"{METADATA}{name}" for name in _WELL]
    without = profiles[[f"{METADATA}{c}" for c in ("plate", "well")]].isna().any(axis=1)
    if without.any():
        raise DataError(
            f"{int(without.sum())} fields have no well, e.g. "
            f"{profiles[f'{METADATA}field_id'][without].iloc[0]!r}: only real fields can be "
            "aggregated to wells; compare generated images field by field."
        )
    # Null (no mechanism, no dose) counts as a value, whatever the column's type.
    named = profiles.assign(**{name: profiles[name].astype("string").fillna("") for name in strata})
    features = feature_columns(profiles)
    wells = aggregate(named, strata=strata, features=features, operation="median")
    counts = named.groupby(strata, sort=True).size().rename(f"{METADATA}fields").reset_index()
    result = counts.merge(wells, on=strata, validate="one_to_one")
    for name in strata:
        result[name] = result[name].where(result[name] != "", None)
    return result


def write_profiles(profiles: Profiles, path: str | Path) -> None:
    """Write profiles to Parquet, with their provenance in the metadata."""
    content = {"source": asdict(profiles.source), "failed": profiles.failed}
    table = pa.Table.from_pandas(profiles.table, preserve_index=False)
    metadata = {_PROFILES_KEY: json.dumps(content, sort_keys=True).encode()}
    write_parquet(table.replace_schema_metadata(metadata), path)


def read_profiles(paths: Sequence[str | Path]) -> Profiles:
    """Read profiles of one or more tables.

    Raises
    ------
    DataError
        If one is not a table of profiles, they were measured differently, or a field is in two of
        them.
    """
    parts: list[Profiles] = []
    for path in paths:
        table = read_parquet(path, own=True)
        content = (table.schema.metadata or {}).get(_PROFILES_KEY)
        if content is None:
            raise DataError(f"{path} does not contain profiles: delete it and rerun the workflow.")
        known = json.loads(content)
        part = Profiles(
            table.to_pandas(), MeasurementSource(**known["source"]), int(known["failed"])
        )
        if parts and part.source != parts[0].source:
            raise DataError(
                f"{path} was measured differently from {paths[0]} (pipeline, channels or version "
                "of CellProfiler): measure them alike."
            )
        parts.append(part)
    if not parts:
        raise DataError("There are no profiles to read.")
    table = pd.concat([part.table for part in parts], ignore_index=True)
    repeated = table[f"{METADATA}field_id"].duplicated()
    if repeated.any():
        raise DataError(
            f"The field {table[f'{METADATA}field_id'][repeated].iloc[0]!r} has more than one "
            "profile: pass each table once."
        )
    return Profiles(table, parts[0].source, sum(part.failed for part in parts))
