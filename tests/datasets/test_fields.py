import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import DataError
from morphpipe.tables.archive import read_fields
from morphpipe.tables.fields import (
    FIELD_SCHEMA,
    FieldTable,
    check_fields,
    concatenate,
    plate_shards,
    shard_of,
    with_metadata,
    write_fields,
)
from morphpipe.tables.manifest import ChannelManifest
from morphpipe.tables.zip_directory import ArchiveChecksum

PLANE = {"file": "a.zip", "offset": 7, "length": 9, "compression": "stored"}


@pytest.fixture
def make_table(make_row, make_manifest, tmp_path):
    """Make a field table of two planes a field that points into an archive nobody opens."""

    def make(rows, *, folder=tmp_path, planes=2):
        complete = [
            dict.fromkeys(FIELD_SCHEMA.names)
            | make_row("f0")
            | {"height": 8, "width": 8, "channels": [PLANE] * planes}
            | row
            for row in rows
        ]
        table = pa.Table.from_pylist(complete, schema=FIELD_SCHEMA)
        checksums = {"a.zip": ArchiveChecksum("a.zip", 100, "0" * 64)}
        return FieldTable(table, make_manifest(), folder, checksums)

    return make


def test_table_manifest_and_seals_survive_parquet(make_table, tmp_path):
    fields = make_table([{"field_id": "a", "concentration": 0.5}, {"field_id": "b", "smiles": "C"}])
    write_fields(fields, tmp_path / "fields.parquet")
    read = read_fields(tmp_path / "fields.parquet")
    assert read.rows() == fields.rows()
    assert read.manifest == fields.manifest
    assert read.checksums == fields.checksums


def test_manifest_survives_plain_values(make_manifest):
    manifest = make_manifest(("DNA", "ER", "actin"), 16)
    assert ChannelManifest.from_dict(manifest.to_dict()) == manifest


@pytest.mark.parametrize(
    "unsafe", ["../x", "a/b", "; rm -rf", "a b", "naïve", "", ".hidden", "a..b", "a\n", "-x", "a\0"]
)
def test_unsafe_field_ids_are_refused(make_table, unsafe, tmp_path):
    with pytest.raises(DataError, match="field_id") as caught:
        write_fields(make_table([{"field_id": unsafe}]), tmp_path / "fields.parquet")
    assert repr(unsafe) in str(caught.value)


def test_repeated_field_id_is_named(make_table):
    fields = make_table([{"field_id": i} for i in ("a", "b", "a")])
    with pytest.raises(DataError, match=r"'a' more than once"):
        check_fields(fields.table, fields.manifest, "here")


@pytest.mark.parametrize(
    ("column", "name", "reason"),
    [
        ("perturbation", "all", "metric tables call what they pool by that name"),
        ("cell_type", "all", "metric tables call what they pool by that name"),
        ("perturbation", "", "it is empty"),
        ("perturbation", "a\x1fb", "it has a control character"),
        ("cell_type", "a\0", "it has a control character"),
        ("plate", "a\0b", "it has a control character"),
    ],
)
def test_names_that_later_stages_need_for_themselves_are_refused(make_table, column, name, reason):
    fields = make_table([{column: name}])
    with pytest.raises(DataError, match=rf"here, column {column}: .* since {reason}") as caught:
        check_fields(fields.table, fields.manifest, "here")
    assert repr(name) in str(caught.value)


def test_names_that_resemble_them_are_taken(make_table):
    names = ["All", "ALL", "all 2", "small", "Zürich 细胞"]
    fields = make_table([{"field_id": f"f{i}", "perturbation": n} for i, n in enumerate(names)])
    check_fields(fields.table, fields.manifest, "here")
    # A plate is never pooled over by name.
    fields = make_table([{"plate": "all", "batch": "all", "well": None}])
    check_fields(fields.table, fields.manifest, "here")


@pytest.mark.parametrize(
    ("column", "value"),
    [("origin", "fake"), ("perturbation_kind", "drug"), ("control", "maybe")],
)
def test_unknown_values_are_named_with_the_allowed(make_table, column, value):
    fields = make_table([{column: value}])
    with pytest.raises(DataError, match=rf"here, column {column}: '{value}' is not one of \w+"):
        check_fields(fields.table, fields.manifest, "here")


@pytest.mark.parametrize("column", [f.name for f in FIELD_SCHEMA if not f.nullable])
def test_empty_columns_are_refused(make_table, column):
    fields = make_table([{"field_id": "a"}, {"field_id": "b", column: None}])
    with pytest.raises(DataError, match=rf"here, row 2: the column {column} is empty"):
        check_fields(fields.table, fields.manifest, "here")


def test_missing_plane_is_named(make_table):
    fields = make_table([{"field_id": "a"}, {"field_id": "b", "channels": [PLANE]}])
    with pytest.raises(DataError, match=r"field 'b' has 1 planes, the manifest names 2 \(DNA, ER"):
        check_fields(fields.table, fields.manifest, "here")


def test_other_columns_are_refused(make_table):
    fields = make_table([{}])
    with pytest.raises(DataError, match="gene"):
        check_fields(fields.table.drop_columns(["gene"]), fields.manifest, "here")


def test_channels_in_another_order_stop(make_manifest):
    make_manifest(("DNA", "ER")).require(("DNA", "ER"), "this stage")
    with pytest.raises(DataError, match="this stage expects the channels ER, DNA"):
        make_manifest(("DNA", "ER")).require(("ER", "DNA"), "this stage")


def test_parquet_of_others_and_damaged_parquet_are_refused(make_table, tmp_path):
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"x": [1]}), foreign)
    with pytest.raises(DataError, match="has no channel manifest"):
        read_fields(foreign)
    path = tmp_path / "fields.parquet"
    write_fields(make_table([{"field_id": f"f{i}"} for i in range(200)]), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"fields\.parquet (cannot be read|is damaged)"):
        read_fields(path)
    with pytest.raises(DataError, match="does not exist"):
        read_fields(tmp_path / "none.parquet")


def test_flipped_byte_in_a_page_is_noticed(make_table, tmp_path):
    path = tmp_path / "fields.parquet"
    write_fields(make_table([{"field_id": f"f{i}"} for i in range(200)]), path)
    content = bytearray(path.read_bytes())
    content[60] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"fields\.parquet"):
        read_fields(path)


def test_table_is_written_only_where_its_planes_are_relative_to(make_table, tmp_path):
    with pytest.raises(DataError, match="must be in"):
        write_fields(make_table([{}]), tmp_path / "elsewhere" / "fields.parquet")


def test_select_keeps_order_and_names_what_is_missing(make_table):
    fields = make_table([{"field_id": i} for i in "abcd"])
    assert fields.select(["d", "b"]).field_ids == ["b", "d"]
    assert fields.take([3, 0]).field_ids == ["d", "a"]
    assert fields.without(["a", "z"]).field_ids == ["b", "c", "d"]
    with pytest.raises(DataError, match="'z'"):
        fields.select(["a", "z"])


def test_joined_tables_point_to_the_same_files(make_table, tmp_path):
    left = make_table([{"field_id": "a"}], folder=tmp_path / "x")
    right = make_table([{"field_id": "b"}], folder=tmp_path / "x" / "y")
    joined = concatenate([left, right], tmp_path / "z")
    assert [planes[0]["file"] for planes in joined.planes()] == ["../x/a.zip", "../x/y/a.zip"]
    assert sorted(joined.checksums) == ["../x/a.zip", "../x/y/a.zip"]
    assert all(name == archive_checksum.file for name, archive_checksum in joined.checksums.items())
    with pytest.raises(DataError, match="more than once"):
        concatenate([left, left], tmp_path)


def test_tables_of_other_channels_are_not_joined(make_table, make_manifest):
    left = make_table([{"field_id": "a"}])
    right = FieldTable(left.table, make_manifest(("ER", "DNA")), left.folder)
    with pytest.raises(DataError, match="manifest"):
        concatenate([left, right], left.folder)


def test_shards_follow_the_plates_whatever_the_order_of_rows(make_table):
    plates = [("b1", "p2"), ("b1", "p10"), ("b0", "p2"), ("b1", "p2")]
    fields = make_table(
        [{"field_id": f"f{i}", "batch": b, "plate": p} for i, (b, p) in enumerate(plates)]
    )
    shards = plate_shards(fields, 3)
    np.testing.assert_array_equal(shards, [2, 1, 0, 2])
    assert shard_of(fields, 2, 3).field_ids == ["f0", "f3"]
    with pytest.raises(DataError, match="has 3 plates, but the configuration has 2 shards"):
        plate_shards(fields, 2)


def test_metadata_is_in_the_file_itself(make_table):
    assert b"morphpipe" in with_metadata(make_table([{}])).schema.metadata
