import os

import pytest

from morphpipe.core import json_files
from morphpipe.core.checksums import read_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.json_files import parse_json, read_json
from morphpipe.datasets.fetch.lock import record_checksum, recorded_checksum

DEEP = "[" * 100_000


def test_values(tmp_path):
    (tmp_path / "a.json").write_text('{"ä": [1, 2.5, null]}', "utf-8")
    assert read_json(tmp_path / "a.json") == {"ä": [1, 2.5, None]}
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEEP, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
        ("{", "Expecting"),
        (b"\xff", "decode"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text, unique=True)


def test_large_files_pipes_and_devices_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    path.write_text("[1, 2]")
    monkeypatch.setattr(json_files, "LARGEST", 5)
    with pytest.raises(ValueError, match="more than"):
        read_json(path)
    os.mkfifo(tmp_path / "pipe.json")
    for place in (tmp_path / "pipe.json", "/dev/zero"):
        with pytest.raises(ValueError, match="a pipe or a device"):
            read_json(place)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent.json")


def test_deeply_nested_records_are_named(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text(DEEP)
    with pytest.raises(DataError, match=r"weights\.json cannot be read as JSON .*too deeply"):
        read_checked_json(path)
    for ask in (recorded_checksum, lambda lock, url: record_checksum(lock, url, "0" * 64)):
        with pytest.raises(DataError, match=r"weights\.json is not a JSON file of addresses"):
            ask(path, "https://x")
