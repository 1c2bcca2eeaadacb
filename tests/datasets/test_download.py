import hashlib
import http.server
import json
import shutil
import threading
from collections import namedtuple

import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch import download
from morphpipe.datasets.fetch.download import fetch
from morphpipe.datasets.fetch.lock import recorded_checksum

CONTENT = bytes(range(256)) * 12
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, with Range and ETag, and breaks connections where it is told to."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = '"first"'
        self.ranges = True
        # How many bytes of an answer are sent before the connection breaks, answer by answer.
        self.breaks = []
        self.statuses = []
        self.shift = 0
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/images.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        content, start = server.content, 0
        same = self.headers.get("If-Range") in (None, server.etag)
        if asked and server.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            start += server.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        rest = content[start:]
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        limit = server.breaks.pop(0) if server.breaks else len(rest)
        self.wfile.write(rest[:limit])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(download, "_CHUNK", 64)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_file_arrives_and_nothing_else_is_left(server, tmp_path):
    assert fetch(server.url, tmp_path / "deep" / "images.bin") == SHA256
    assert (tmp_path / "deep/images.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["images.bin"]


@pytest.mark.parametrize("at", [0, 1, 63, 64, 65, 1000, len(CONTENT) - 1])
def test_broken_connection_is_resumed_to_the_same_bytes(server, tmp_path, at):
    server.breaks = [at]
    assert fetch(server.url, tmp_path / "images.bin", sha256=SHA256) == SHA256
    assert (tmp_path / "images.bin").read_bytes() == CONTENT
    # What had arrived is not asked for again.
    assert server.asked == [None, f"bytes={at}-" if at else None]


def test_download_goes_on_in_a_later_call(server, tmp_path):
    server.breaks = [640] + [64] * 7
    with pytest.raises(DataError, match=r"after 8 attempts.*images\.bin\.part: rerun"):
        fetch(server.url, tmp_path / "images.bin")
    assert not (tmp_path / "images.bin").exists()
    assert (tmp_path / "images.bin.part").stat().st_size == 640 + 7 * 64
    assert fetch(server.url, tmp_path / "images.bin") == SHA256
    assert server.asked[-1] == f"bytes={640 + 7 * 64}-"


def test_whole_file_that_was_not_renamed_is_taken(server, tmp_path):
    (tmp_path / "images.bin.part").write_bytes(CONTENT)
    (tmp_path / "images.bin.part.json").write_text(
        json.dumps({"validator": server.etag, "size": len(CONTENT)})
    )
    assert fetch(server.url, tmp_path / "images.bin") == SHA256


@pytest.mark.parametrize("etag", ['"first"', None, 'W/"weak"'])
def test_server_without_ranges_begins_anew(server, tmp_path, etag):
    server.ranges, server.etag, server.breaks = False, etag, [1000, 500]
    assert fetch(server.url, tmp_path / "images.bin") == SHA256
    assert (tmp_path / "images.bin").read_bytes() == CONTENT


def test_file_replaced_between_attempts_is_not_glued_to_the_old_beginning(server, tmp_path):
    server.breaks = [640] + [0] * 7
    with pytest.raises(DataError):
        fetch(server.url, tmp_path / "images.bin")
    server.content, server.etag = CONTENT[::-1], '"second"'
    fetch(server.url, tmp_path / "images.bin")
    assert server.asked[-1] == "bytes=640-"
    assert (tmp_path / "images.bin").read_bytes() == CONTENT[::-1]


def test_other_range_than_asked_for_is_not_glued(server, tmp_path):
    server.breaks, server.shift = [640], 7
    with pytest.raises(DataError, match="bytes from 640 on were requested"):
        fetch(server.url, tmp_path / "images.bin")


def test_wrong_checksum_says_both_and_leaves_nothing(server, tmp_path):
    with pytest.raises(DataError, match=f"{SHA256}, but {'0' * 64} was expected"):
        fetch(server.url, tmp_path / "images.bin", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_not_tried_again(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(DataError, match=r"answers 404: check the address"):
        fetch(server.url, tmp_path / "images.bin")
    assert len(server.asked) == 1


def test_busy_server_is_tried_again(server, tmp_path):
    server.statuses = [503, 429]
    assert fetch(server.url, tmp_path / "images.bin") == SHA256
    assert len(server.asked) == 3


def test_lock_records_the_first_checksum_and_demands_it(server, tmp_path):
    lock = tmp_path / "downloads.lock.json"
    fetch(server.url, tmp_path / "a", lock=lock)
    assert recorded_checksum(lock, server.url) == SHA256
    fetch(server.url, tmp_path / "b", lock=lock)
    server.content, server.etag = b"other", '"second"'
    with pytest.raises(DataError, match=r"remove the entry in .*downloads\.lock\.json"):
        fetch(server.url, tmp_path / "c", lock=lock)
    assert recorded_checksum(lock, server.url) == SHA256
    # A checksum in the configuration stands above the lock.
    fetch(server.url, tmp_path / "d", sha256=hashlib.sha256(b"other").hexdigest(), lock=lock)


def test_broken_lock_is_named(tmp_path):
    lock = tmp_path / "downloads.lock.json"
    for content in ("{", "[1]", '{"name": "something else"}'):
        lock.write_text(content)
        with pytest.raises(DataError, match=r"downloads\.lock\.json is not a JSON file"):
            recorded_checksum(lock, "http://x")


def test_too_little_disk_stops_before_the_download(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, len(CONTENT) - 1))
    with pytest.raises(DataError, match=r"needs .* GB more.*paths\.cache"):
        fetch(server.url, tmp_path / "images.bin")
    assert not (tmp_path / "images.bin.part").exists()


@pytest.mark.parametrize("name", ["images.bin", "with blank%20and ü.bin"])
def test_file_address_becomes_a_link(tmp_path, name):
    source = tmp_path / "disk" / name
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    lock = tmp_path / "lock.json"
    for _ in range(2):
        assert fetch(source.as_uri(), tmp_path / "images.bin", lock=lock) == SHA256
        assert (tmp_path / "images.bin").is_symlink()
        assert (tmp_path / "images.bin").read_bytes() == CONTENT
    source.write_bytes(b"replaced")
    with pytest.raises(DataError, match="was expected"):
        fetch(source.as_uri(), tmp_path / "images.bin", lock=lock)
    assert source.exists()


def test_file_that_is_there_already_is_not_replaced_by_a_link_to_itself(tmp_path):
    path = tmp_path / "images.bin"
    path.write_bytes(CONTENT)
    assert fetch(path.as_uri(), path) == SHA256
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///nowhere/x", "/nowhere/x, which does not exist"),
        ("ftp://x/y", "cannot be downloaded"),
    ],
)
def test_bad_addresses(tmp_path, url, message):
    with pytest.raises(DataError, match=message):
        fetch(url, tmp_path / "x")
