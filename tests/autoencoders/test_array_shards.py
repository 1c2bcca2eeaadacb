import signal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morphpipe.core.errors import DataError, StorageError
from morphpipe.core.storage import read_parquet, sha256_of_file, write_parquet
from morphpipe.tables.array_shards import ArrayShards, write_shard


def _write(path, rows, *, start=0, block=3, transforms=(0,)):
    keys = [(f"f{start + i}", t) for i in range(len(rows) // len(transforms)) for t in transforms]
    blocks = (rows[i : i + block] for i in range(0, len(rows), block))
    write_shard(path, keys, blocks, shape=rows.shape[1:], dtype=rows.dtype)
    return path.with_name(path.name + ".parquet")


@pytest.fixture(scope="module")
def two_shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    rows = np.random.default_rng(0).standard_normal((17, 2, 3, 5)).astype(np.float16)
    return [_write(folder / "a", rows[:10]), _write(folder / "b", rows[10:], start=10)], rows


def test_shard_is_an_ordinary_npy_file(two_shards):
    indices, rows = two_shards
    np.testing.assert_array_equal(np.load(indices[0].with_suffix(".npy")), rows[:10])
    np.testing.assert_array_equal(np.load(indices[1].with_suffix(".npy")), rows[10:])


@settings(max_examples=40, deadline=None)
@given(positions=st.lists(st.integers(0, 16), max_size=40))
def test_any_positions_are_read_in_their_order(two_shards, positions):
    indices, rows = two_shards
    shards = ArrayShards(indices)
    positions = np.array(positions, dtype=np.int64)
    np.testing.assert_array_equal(shards.read(positions), rows[positions])
    shards.close()


def test_index_and_blocks(two_shards):
    indices, rows = two_shards
    shards = ArrayShards(indices)
    assert len(shards) == 17
    assert shards.dtype == np.float16
    assert shards.index["field_id"].tolist() == [f"f{i}" for i in range(17)]
    assert shards.index["position"].tolist() == list(range(17))
    np.testing.assert_array_equal(np.concatenate(list(shards.blocks(4))), rows)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_kind_of_float_and_shape(tmp_path, dtype):
    for shape in ((6,), (6, 4), (6, 2, 1, 3)):
        rows = np.random.default_rng(1).standard_normal(shape).astype(dtype)
        read = ArrayShards([_write(tmp_path / "a", rows)]).read(np.array([5, 0]))
        np.testing.assert_array_equal(read, rows[[5, 0]])


def test_damaged_shard_is_noticed(tmp_path):
    index = _write(tmp_path / "a", np.ones((4, 8), np.float32))
    content = bytearray((tmp_path / "a.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy is not the file that .*a\.parquet describes"):
        ArrayShards([index])


def test_short_shard_is_noticed_even_unverified(tmp_path):
    index = _write(tmp_path / "a", np.ones((4, 8), np.float32))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    shards = ArrayShards([index], verify=False)
    with pytest.raises(DataError, match="ends early"):
        shards.read(np.array([0, 3]))


def test_missing_files_are_named(tmp_path):
    index = _write(tmp_path / "a", np.ones((4, 8), np.float32))
    (tmp_path / "a.npy").unlink()
    with pytest.raises(DataError, match=r"a\.npy is missing"):
        ArrayShards([index])
    index.unlink()
    with pytest.raises(DataError, match=r"a\.parquet"):
        ArrayShards([index])
    with pytest.raises(DataError, match="no array shards"):
        ArrayShards([])


def test_shards_of_other_rows_do_not_mix(tmp_path):
    left = _write(tmp_path / "a", np.ones((4, 8), np.float32))
    for name, rows in (("b", np.ones((4, 9), np.float32)), ("c", np.ones((4, 8), np.float16))):
        with pytest.raises(DataError, match=rf"{name}\.npy has rows of"):
            ArrayShards([left, _write(tmp_path / name, rows)])


def test_shards_of_other_networks_do_not_mix(tmp_path):
    rows = np.ones((2, 8), np.float32)
    indices = []
    for number, made_by in enumerate((None, "a" * 64, "a" * 64, "b" * 64)):
        keys = [(f"f{number}", 0), (f"f{number}", 1)]
        path = tmp_path / f"s{number}"
        write_shard(path, keys, [rows], shape=(8,), dtype=np.float32, made_by=made_by)
        indices.append(path.with_suffix(".parquet"))
    assert ArrayShards(indices[:1]).made_by is None
    assert ArrayShards(indices[1:3]).made_by == "a" * 64
    with pytest.raises(
        DataError, match=r"s3\.parquet was made by the network b+, .*s1\.parquet by a"
    ):
        ArrayShards(indices[1:])
    with pytest.raises(DataError, match=r"s1\.parquet was made by .*s0\.parquet by None"):
        ArrayShards(indices[:2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
def test_rows_that_are_not_finite_are_refused_by_field(tmp_path, value):
    rows = np.ones((7, 2, 2))
    rows[5, 1, 0] = value  # 1e6 is infinite as float16
    with (
        np.errstate(over="ignore"),
        pytest.raises(DataError, match="field f5 gives values that are not finite"),
    ):
        write_shard(
            tmp_path / "a",
            [(f"f{i}", 0) for i in range(7)],
            [rows[:3], rows[3:]],
            shape=(2, 2),
            dtype=np.float16,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_shards_that_others_wrote_are_finite_as_well(tmp_path, dtype, value):
    rows = np.random.default_rng(0).standard_normal((40, 2, 100, 200)).astype(dtype)
    index = _write(tmp_path / "a", rows)
    rows[33, 1, 0, 7] = value
    np.save(tmp_path / "a.npy", rows)
    table = read_parquet(index)
    sums = pa.array([sha256_of_file(tmp_path / "a.npy")] * 40, pa.string())
    place = table.schema.get_field_index("sha256")
    write_parquet(table.set_column(place, table.schema.field(place), sums), index)
    with pytest.raises(DataError, match=r"a\.npy: the values of field f33 are not finite"):
        ArrayShards([index])


def test_damaged_header_is_named(tmp_path):
    index = _write(tmp_path / "a", np.ones((4, 8), np.float32))
    content = (tmp_path / "a.npy").read_bytes()
    for damaged in (b"X" + content[1:], content.replace(b"'shape'", b"'shipe'"), content[:9]):
        (tmp_path / "a.npy").write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.npy is not the file that .*a\.parquet describes"):
            ArrayShards([index], verify=False)


@pytest.mark.parametrize(("rows", "message"), [((5, 2), "5 rows were made for 4"), ((4, 3), "got")])
def test_rows_have_to_fit_the_keys(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        write_shard(
            tmp_path / "a",
            [(f"f{i}", 0) for i in range(4)],
            [np.ones(rows)],
            shape=(2,),
            dtype=np.float32,
        )
    assert list(tmp_path.iterdir()) == []


def test_writer_that_is_killed_leaves_no_shard(run_python, tmp_path):
    process = run_python(
        """
        import sys
        import time
        import numpy as np
        from morphpipe.tables.array_shards import write_shard

        def rows():
            yield np.ones((2, 4))
            print("half", flush=True)
            time.sleep(60)

        keys = [(f"f{i}", 0) for i in range(4)]
        write_shard(sys.argv[1] + "/a", keys, rows(), shape=(4,), dtype=np.float32)
        """,
        tmp_path,
    )
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.npy").exists()
    assert not (tmp_path / "a.parquet").exists()


def test_full_disk_is_named_and_leaves_the_shards_before(tmp_path, small_disk):
    rows = np.ones((64, 256), np.float32)
    before = _write(small_disk.folder / "a", rows)
    small_disk.fill()
    with pytest.raises(StorageError, match=r"b\.npy cannot be written: the disk is full"):
        _write(small_disk.folder / "b", rows)
    assert sorted(p.name for p in small_disk.folder.glob("*b*")) == []
    assert len(ArrayShards([before])) == 64
    small_disk.make_room()
    assert len(ArrayShards([before, _write(small_disk.folder / "b", rows, start=64)])) == 128
