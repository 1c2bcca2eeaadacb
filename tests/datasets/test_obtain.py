import json
import os
import zipfile

import pytest

from morphpipe.core.checksums import read_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.storage import sha256_of_file
from morphpipe.datasets.fetch import download
from morphpipe.datasets.fetch.lock import recorded_checksum
from morphpipe.datasets.fetch.obtain import obtain, obtain_made, obtained, record_of

# No server answers there: whoever asks it fails.
NOWHERE = "http://127.0.0.1:9/table.csv"


@pytest.fixture
def by_hand(tmp_path):
    """A file that was put there, with an old date."""
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    os.utime(path, (1e9, 1e9))
    return path


def _untouched(path):
    return path.read_text() == "a,b\n1,2\n" and path.stat().st_mtime == 1e9


def test_what_is_there_is_kept_and_recorded(by_hand, tmp_path):
    lock = tmp_path / "lock.json"
    for _ in range(2):
        found = obtain(NOWHERE, by_hand, lock=lock)
        assert found == sha256_of_file(by_hand) == recorded_checksum(lock, NOWHERE)
    assert _untouched(by_hand)
    assert read_checked_json(record_of(by_hand)) == {
        "address": NOWHERE,
        "sha256": found,
        "size": 8,
    }
    assert obtain(NOWHERE, by_hand, sha256=found) == found
    assert obtained(record_of(by_hand)) == by_hand


@pytest.mark.parametrize("declared", [True, False])
def test_another_checksum_than_demanded_stops_and_keeps_the_file(by_hand, tmp_path, declared):
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({NOWHERE: "0" * 64}))
    demanded = {"sha256": "0" * 64} if declared else {"lock": lock}
    with pytest.raises(DataError, match="Move it away"):
        obtain(NOWHERE, by_hand, **demanded)
    assert _untouched(by_hand)
    assert not record_of(by_hand).exists()


def test_a_file_of_another_address_is_not_taken_for_this_one(by_hand, tmp_path):
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({"https://example.org/other": sha256_of_file(by_hand)}))
    with pytest.raises(DataError, match=r"example\.org/other, but .*move it away"):
        obtain(NOWHERE, by_hand, lock=lock)
    assert _untouched(by_hand)


def test_what_is_no_such_file_is_not_recorded(tmp_path):
    """A page of a login that was saved under the archive's name."""
    path, lock = tmp_path / "plate.zip", tmp_path / "lock.json"
    path.write_text("<html>Please sign in</html>")
    with pytest.raises(DataError, match="is not the expected file: it is not a zip archive"):
        obtain("http://127.0.0.1:9/plate.zip", path, lock=lock)
    assert path.exists()
    assert not lock.exists()
    assert not record_of(path).exists()


def test_what_is_there_is_kept_though_its_address_is_a_file(by_hand, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("c,d\n")
    obtain(f"file:{other}", by_hand)
    assert _untouched(by_hand)


def test_what_is_not_there_is_fetched(by_hand, tmp_path):
    path = tmp_path / "cache" / "table.csv"
    found = obtain(f"file:{by_hand}", path)
    assert path.resolve() == by_hand
    by_hand.write_text("a,b\n3,4\n")
    assert obtain(f"file:{by_hand}", path) == sha256_of_file(by_hand) != found


def test_a_server_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with pytest.raises(DataError, match="could not be downloaded"):
        obtain(NOWHERE, tmp_path / "absent.csv")
    assert list(tmp_path.iterdir()) == []


def test_what_is_put_together_is_made_once(tmp_path):
    path, lock, made = tmp_path / "plate.zip", tmp_path / "lock.json", []

    def make():
        made.append(1)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", b"planes")

    found = obtain_made("bucket#1", path, make, lock=lock)
    assert obtain_made("bucket#1", path, make, lock=lock) == found
    assert made == [1]
    assert recorded_checksum(lock, "bucket#1") == found
    path.write_bytes(b"others")
    with pytest.raises(DataError, match="Move it away"):
        obtain_made("bucket#1", path, make, lock=lock)


def test_a_record_without_its_file_says_so(by_hand):
    obtain(NOWHERE, by_hand)
    by_hand.unlink()
    with pytest.raises(DataError, match=r"was deleted.*delete the record"):
        obtained(record_of(by_hand))
