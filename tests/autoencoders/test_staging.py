import shutil

import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.tables.array_shards import ArrayShards, write_shard
from morphpipe.tables.staging import stage_shards


@pytest.fixture
def kinds(tmp_path):
    """Two shards of one kind, and one of another under the same name."""
    for name, start in (("moments/shard-0", 0), ("moments/shard-1", 4), ("targets/shard-0", 0)):
        rows = np.arange(start, start + 4, dtype=np.float32)[:, None]
        keys = [(f"f{i}", 0) for i in range(start, start + 4)]
        write_shard(tmp_path / name, keys, [rows], shape=(1,), dtype=np.float32)
    return [sorted((tmp_path / kind).glob("*.parquet")) for kind in ("moments", "targets")]


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The node's own disk, which a variable names."""
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    return tmp_path / "disk"


@pytest.mark.parametrize("folder", ["$NODE_DISK", "${NODE_DISK}"])
def test_copies_are_read_like_the_shards(kinds, disk, folder):
    made, (moments, targets) = stage_shards(kinds, folder)
    assert made.parent == disk
    assert all(made in path.parents for path in (*moments, *targets))
    for copies, originals in ((moments, kinds[0]), (targets, kinds[1])):
        rows = [ArrayShards(indices).read(np.arange(4)) for indices in (copies, originals)]
        np.testing.assert_array_equal(*rows)
    shards = ArrayShards(moments, verify=False)
    shutil.rmtree(made)
    assert shards.read(np.array([5]))[0, 0] == 5


def test_damage_is_noticed_while_copying(kinds, disk):
    file = kinds[0][1].with_suffix(".npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"shard-1\.npy is not the file that .*shard-1\.parquet"):
        stage_shards(kinds, "$NODE_DISK")
    assert list(disk.iterdir()) == []


def test_missing_shard_is_named(kinds, disk):
    kinds[1][0].with_suffix(".npy").unlink()
    with pytest.raises(DataError, match=r"targets/shard-0\.npy is missing"):
        stage_shards(kinds, "$NODE_DISK")


def test_what_is_not_there_is_said(kinds, disk, monkeypatch):
    assert "NOT_SET is not set" in stage_shards(kinds, "$NOT_SET/here")
    assert "does not exist on this node" in stage_shards(kinds, "$NODE_DISK/none")
    free = shutil.disk_usage(disk)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert "has 0.0 GB left" in stage_shards(kinds, "$NODE_DISK")


def test_disk_that_fills_up_meanwhile_is_cleared_and_said(kinds, disk, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("morphpipe.tables.staging._copy", full)
    assert "is full" in stage_shards(kinds, "$NODE_DISK")
    assert list(disk.iterdir()) == []
