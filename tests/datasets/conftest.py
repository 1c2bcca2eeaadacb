"""A file server that has the faults it is told to have."""

import http.server
import threading
from urllib.parse import unquote

import pytest

from morphpipe.datasets.fetch import download


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` by path, with Range, If-Range and ETag.

    breaks
        After how many bytes of its body an answer's connection is cut, answer by answer; none:
        not at all. Answers behind the end of the list are whole.
    length_shift
        How many bytes more than there are Content-Length promises.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {}
        self.tags = {}
        self.ranges = True
        self.breaks = []
        self.statuses = []
        self.length_shift = 0
        self.asked = []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, address):
        """Say nothing of connections that the client closes."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        path = unquote(self.path).lstrip("/")
        asked = self.headers.get("Range")
        with server.lock:
            server.asked.append((path, asked))
            status = server.statuses.pop(0) if server.statuses else None
            limit = server.breaks.pop(0) if server.breaks else None
        if status is not None or path not in server.files:
            self.send_error(status or 404)
            return
        content = server.files[path]
        tag = server.tags.get(path, '"first"')
        first, last = 0, len(content) - 1
        if asked and server.ranges and self.headers.get("If-Range") in (None, tag):
            begin, end = asked.removeprefix("bytes=").split("-")
            first, last = int(begin), min(int(end or last), last)
            if first > last:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        body = content[first : last + 1]
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) + server.length_shift))
        self.end_headers()
        self.wfile.write(body if limit is None else body[:limit])
        if limit is not None or server.length_shift:
            self.close_connection = True


@pytest.fixture
def file_server(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FileServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
