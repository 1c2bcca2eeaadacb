import json
import os
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import (
    atomic_path,
    read_parquet,
    read_parquet_schema,
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


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    target = tmp_path / "a.txt"

    def name_of(process):
        with atomic_path(target) as temporary:
            temporary.write_text("x")
        return temporary.name.replace(f".{os.getpid()}.", f".{process}.")

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / name_of(ended.pid)).write_text("half a file")
    beside = [name_of(os.getppid()), name_of(ended.pid).replace(".a.", ".b."), ".a.txt"]
    for name in beside:
        (tmp_path / name).write_text("of a process that runs, or of another file")
    name_of(0)
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", *beside}
    with atomic_path(tmp_path / "folder") as temporary:
        temporary.mkdir()
    left = temporary.with_name(temporary.name.replace(f".{os.getpid()}.", f".{ended.pid}."))
    (left / "deep").mkdir(parents=True)
    with atomic_path(tmp_path / "folder") as temporary:
        temporary.mkdir()
    assert not left.exists()


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
        with pytest.raises(DataError, match=r"a\.parquet (cannot be read|is damaged)"):
            read_parquet(path)
    with pytest.raises(DataError, match="does not exist"):
        read_parquet(tmp_path / "b.parquet")


def test_no_changed_byte_of_a_parquet_file_changes_what_is_read(tmp_path):
    """Headers of pages and the footer too, which Parquet's own checksums leave out."""
    path = tmp_path / "a.parquet"
    table = pa.table({"a": ["x", "y", None] * 20, "b": [0.5] * 60})
    table = table.replace_schema_metadata({b"settings": b'{"seed": 3}'})
    write_parquet(table, path)
    assert read_parquet(path).equals(table, check_metadata=True)
    assert read_parquet_schema(path).equals(table.schema, check_metadata=True)
    whole = path.read_bytes()
    noticed = 0
    for at in range(len(whole)):
        path.unlink()  # another file, whatever the clock's grain
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        try:
            assert read_parquet(path).equals(table, check_metadata=True)
        except DataError:
            noticed += 1
    # All but the key of the checksum itself, without which there is none to compare.
    assert noticed >= len(whole) - 20


def test_others_read_what_we_write_and_we_what_others_write(tmp_path):
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({b"k": b"v"})
    write_parquet(table, tmp_path / "ours.parquet")
    assert pd.read_parquet(tmp_path / "ours.parquet")["x"].tolist() == [1, 2]
    pq.write_table(table, tmp_path / "others.parquet")
    assert read_parquet(tmp_path / "others.parquet").equals(table, check_metadata=True)
    again, ours = tmp_path / "again/ours.parquet", tmp_path / "ours.parquet"
    write_parquet(read_parquet(ours), again)
    assert again.read_bytes() == ours.read_bytes()
    for length in (0, 3, 11, 100):
        again.write_bytes(ours.read_bytes()[:length])
        with pytest.raises(DataError, match=r"again.ours\.parquet"):
            read_parquet(again)


def test_json_and_checksum(tmp_path):
    write_json({"ä": [1, None]}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"ä": [1, None]}
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
