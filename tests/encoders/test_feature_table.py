from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.tables.feature_table import (
    Extraction,
    FeatureTable,
    read_features,
    write_features,
)

EXTRACTION = Extraction("resnet", "resnet18", "a" * 64, "all", ("DNA", "ER"))


def _table(number=5, width=3, start=0, extraction=EXTRACTION):
    features = np.random.default_rng(start).standard_normal((number, width)).astype(np.float32)
    ids = tuple(f"f{start + i}" for i in range(number))
    return FeatureTable(ids, (np.arange(number) % 8).astype(np.int8), features, extraction)


def test_shards_join_to_what_was_written(tmp_path):
    parts = [_table(), _table(4, start=5)]
    for name, part in zip("ab", parts, strict=True):
        write_features(part, tmp_path / f"{name}.parquet")
    joined = read_features([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert joined.field_ids == parts[0].field_ids + parts[1].field_ids
    assert joined.extraction == EXTRACTION
    assert joined.features.dtype == np.float32
    for name in ("features", "transforms"):
        expected = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(joined, name), expected)


def test_columns_are_those_of_the_contract(tmp_path):
    write_features(_table(), tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert schema.names == ["field_id", "transform", "crop", "features"]
    assert schema.field("features").type == pa.list_(pa.float32(), 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_field(tmp_path, value):
    table = _table()
    table.features[3, 1] = value
    with pytest.raises(DataError, match=r"resnet gives features .* for the field 'f3'"):
        write_features(table, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize(
    "change",
    [{"weights_sha256": "b" * 64}, {"view": "DNA"}, {"channels": ("ER", "DNA")}, {"kind": "x"}],
)
def test_features_of_other_extractions_are_not_joined(tmp_path, change):
    write_features(_table(), tmp_path / "a.parquet")
    write_features(
        _table(start=9, extraction=replace(EXTRACTION, **change)), tmp_path / "b.parquet"
    )
    with pytest.raises(DataError, match=r"b\.parquet was made by"):
        read_features([tmp_path / "a.parquet", tmp_path / "b.parquet"])


@pytest.mark.parametrize("value", [np.nan, -np.inf, None])
def test_features_that_others_wrote_are_finite_as_well(tmp_path, value):
    path = tmp_path / "a.parquet"
    write_features(_table(), path)
    table = read_parquet(path)
    rows = table["features"].to_pylist()
    rows[3][1] = value
    changed = pa.array(rows, table.schema.field("features").type)
    write_parquet(table.set_column(3, table.schema.field("features"), changed), path)
    with pytest.raises(DataError, match=r"a\.parquet: the features of field 'f3' are not finite"):
        read_features([path])


def test_a_table_without_a_column_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    for column in ("field_id", "transform", "features"):
        write_features(_table(), path)
        write_parquet(read_parquet(path).drop_columns([column]), path)
        with pytest.raises(DataError, match=r"a\.parquet cannot be read as a feature table"):
            read_features([path])


def test_other_files_are_refused(tmp_path):
    write_parquet(pa.table({"field_id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="not a feature table"):
        read_features([tmp_path / "a.parquet"])
    with pytest.raises(DataError, match=r"none\.parquet"):
        read_features([tmp_path / "none.parquet"])
    with pytest.raises(DataError, match="no feature tables"):
        read_features([])
