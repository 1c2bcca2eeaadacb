import json

import pytest

from morphpipe.core.checksums import (
    RECORD,
    check_recorded,
    read_checked_json,
    record_files,
    write_checked_json,
)
from morphpipe.core.errors import DataError

CONTENT = {"step": 5, "ä": [0.1, None, {"b": (1, 2)}], "sha256": {"model": "ab" * 32}}


def test_sealed_json_is_plain_json(tmp_path):
    write_checked_json(CONTENT, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert content.pop("checksum")
    assert content == read_checked_json(tmp_path / "a.json")
    assert content == json.loads(json.dumps(CONTENT))
    with pytest.raises(FileNotFoundError):
        read_checked_json(tmp_path / "none.json")


def test_no_changed_byte_of_sealed_json_changes_what_is_read(tmp_path):
    path = tmp_path / "a.json"
    write_checked_json(CONTENT, path)
    whole, content = path.read_bytes(), read_checked_json(path)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 7)]) + whole[at + 1 :])
        try:
            assert read_checked_json(path) == content  # white space for white space
        except DataError as error:
            assert "a.json" in str(error)  # noqa: PT017


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 1}', "3", '{"a": 1, "seal": "ab"}'])
def test_what_was_not_sealed_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json (cannot be read as JSON|is damaged)"):
        read_checked_json(tmp_path / "a.json")


def test_files_of_a_folder_are_compared_with_its_record(tmp_path):
    (tmp_path / "vae").mkdir()
    for name in ("a.txt", "vae/b.txt", "other.txt"):
        (tmp_path / name).write_text(name)
        check_recorded(tmp_path / name)  # nothing is known yet
    record_files(tmp_path, ["a.txt", "vae/b.txt"], licence="MIT")
    assert read_checked_json(tmp_path / RECORD)["licence"] == "MIT"
    for name in ("a.txt", "vae/b.txt"):
        check_recorded(tmp_path / name)
        (tmp_path / name).write_text("changed")
        with pytest.raises(DataError, match=rf"{name} is damaged"):
            check_recorded(tmp_path / name)
    (tmp_path / "other.txt").write_text("changed")
    check_recorded(tmp_path / "other.txt")
