import json

import pyarrow as pa
import pytest

from morphpipe.errors import DataError
from morphpipe.storage import (
    atomic_path,
    read_parquet,
    sha256_of_file,
    write_json,
    write_parquet,
)


def test_file_appears_only_at_the_end(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_replaces_a_folder(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_path(target) as temporary:
            (temporary / "deep").mkdir(parents=True)
            (temporary / "deep" / content).write_text(content)
    assert [path.name for path in (target / "deep").iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


def test_parquet_survives_and_damage_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"x": list(range(5000))})
    write_parquet(table, path)
    assert read_parquet(path).equals(table)
    assert read_parquet(path, ["x"]).num_rows == 5000
    whole = path.read_bytes()
    for at in range(30, 5000, 431):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
            read_parquet(path)
    with pytest.raises(DataError, match="There is no file"):
        read_parquet(tmp_path / "b.parquet")


def test_json_and_checksum(tmp_path):
    write_json({"ä": [1, None]}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"ä": [1, None]}
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
