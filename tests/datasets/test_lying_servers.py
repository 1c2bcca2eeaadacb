"""Servers that say something else than they send: nothing broken is taken, or recorded as whole."""

import gzip
import io
import json
import socket
import struct
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from morphpipe.config.weights import Weights
from morphpipe.core.errors import ConfigError, DataError, WeightsError
from morphpipe.datasets.fetch import connection, download
from morphpipe.datasets.fetch.download import fetch
from morphpipe.datasets.fetch.file_kinds import CutShortError, WrongKindError, check_kind
from morphpipe.datasets.fetch.many_files import fetch_plate
from morphpipe.datasets.fetch.remote_zip import fetch_members
from morphpipe.datasets.fetch.weights import fetch_weights, look_for_weights

TABLE = b"well,perturbation\nA01,DMSO\nA02,taxol\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in, then try again</body></html>\n"


def _zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.csv", TABLE * 50)
    return stream.getvalue()


def _png():
    stream = io.BytesIO()
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(stream, "PNG")
    return stream.getvalue()


def _tiff():
    stream = io.BytesIO()
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(stream, "TIFF")
    return stream.getvalue()


def _npy():
    stream = io.BytesIO()
    np.save(stream, np.ones((20, 30), np.float32))
    return stream.getvalue()


def _torch(**options):
    stream = io.BytesIO()
    torch.save({"a": torch.ones(3)}, stream, **options)
    return stream.getvalue()


PROVEN = {
    "images.zip": _zip(),
    "plane.png": _png(),
    "plane.tif": _tiff(),
    "function.npy": _npy(),
    "model.safetensors": save({"a": torch.ones(8)}),
    "model.pt": _torch(),
    "config.json": json.dumps({"a": [1, 2]}).encode(),
    "genes.csv.gz": gzip.compress(TABLE),
    # The workflow names a table .csv whatever its address gives.
    "genes.csv": gzip.compress(TABLE),
}


class Liar:
    """Sends given bytes to each who asks, whatever was asked for.

    answers
        Lists of pieces, one list for a connection; a number is a pause in seconds. The last is
        given from then on.
    """

    def __init__(self):
        self.answers = []
        self.asked = []
        self.over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def say(self, *lines, body=b"", status="200 OK"):
        head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, ""))
        self.answers.append([head.encode() + body])

    def close(self):
        self.over.set()
        self._socket.close()

    def _serve(self):
        while not self.over.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client):
        with client:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = client.recv(4096)
                if not piece:
                    return
                request += piece
            self.asked.append(request.decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            try:
                for piece in answer:
                    if isinstance(piece, bytes):
                        client.sendall(piece)
                    elif self.over.wait(piece):
                        return
            except OSError:
                pass


@pytest.fixture
def liar(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Liar()
    yield server
    server.close()


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "lock.json"


def _refuse(liar, tmp_path, lock, name, message):
    path = tmp_path / "cache" / name
    with pytest.raises(DataError, match=message):
        fetch(f"{liar.url}/{name}", path, lock=lock)
    assert not path.exists()
    assert not lock.exists(), "nothing is recorded"


@pytest.mark.parametrize("name", PROVEN)
def test_early_end_without_a_length_is_no_end(liar, tmp_path, lock, name):
    content = PROVEN[name]
    liar.say(body=content[: len(content) * 2 // 3])
    _refuse(liar, tmp_path, lock, name, "after 8 attempts .*the connection closed early")
    liar.say(body=content)
    liar.answers.pop(0)
    fetch(f"{liar.url}/{name}", tmp_path / name, lock=lock)
    assert (tmp_path / name).read_bytes() == content
    assert lock.exists(), "a file that says itself that it is whole is recorded"


def test_no_more_than_a_bound_is_taken_without_a_length(liar, tmp_path, lock, monkeypatch):
    monkeypatch.setattr(download, "_UNANNOUNCED", 100_000)
    liar.say(body=TABLE * 20_000)
    _refuse(liar, tmp_path, lock, "a.csv", "without announcing the file's length")


def test_text_without_a_length_is_taken_but_not_recorded(liar, tmp_path, lock, capsys):
    liar.say(body=TABLE)
    fetch(f"{liar.url}/genes.csv", tmp_path / "genes.csv", lock=lock)
    assert (tmp_path / "genes.csv").read_bytes() == TABLE
    assert not lock.exists()
    assert "genes.csv is not recorded: its server does not announce" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["genes.csv", "weights.bin"])
def test_what_may_be_a_part_is_not_taken(liar, tmp_path, lock, name):
    liar.say(body=TABLE[:-4])
    _refuse(liar, tmp_path, lock, name, "neither the server nor the file itself.*give its SHA-256")


def test_a_length_in_chunks_is_one(liar, tmp_path, lock):
    chunk = b"%x\r\n%s\r\n" % (len(TABLE), TABLE)
    liar.say("Transfer-Encoding: chunked", body=chunk)
    _refuse(liar, tmp_path, lock, "genes.csv", "after 8 attempts")
    liar.say("Transfer-Encoding: chunked", body=chunk + b"0\r\n\r\n")
    liar.answers.pop(0)
    fetch(f"{liar.url}/genes.csv", tmp_path / "genes.csv", lock=lock)
    assert lock.exists()


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("name", [*PROVEN, "weights.bin"])
@pytest.mark.parametrize(
    ("content", "message"), [(b"", "it is empty"), (PAGE, "web page or a message of the server")]
)
def test_empty_answers_and_pages(liar, tmp_path, lock, announced, name, content, message):
    liar.say(*([f"Content-Length: {len(content)}"] if announced else []), body=content)
    _refuse(liar, tmp_path, lock, name, f"does not return the requested file: .*{message}")
    assert len(liar.asked) == 1
    assert not list((tmp_path / "cache").iterdir())


def test_page_instead_of_a_file_with_a_known_checksum(liar, tmp_path):
    liar.say(f"Content-Length: {len(PAGE)}", body=PAGE)
    with pytest.raises(DataError, match=r"was expected: it is not a zip archive, but a web page"):
        fetch(f"{liar.url}/a.zip", tmp_path / "a.zip", sha256="0" * 64)


# Named, since gzip writes the time: processes of the tests have to collect the same names.
@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(TABLE)], ids=["no gzip", "gzip"])
def test_encodings_that_were_not_asked_for(liar, tmp_path, lock, body):
    liar.say("Content-Encoding: gzip", f"Content-Length: {len(body)}", body=body)
    _refuse(liar, tmp_path, lock, "genes.csv", "answers with Content-Encoding: gzip although")
    assert "Accept-Encoding: identity" in liar.asked[0]


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", "38, 39", "9" * 30, "٣"])
def test_lengths_that_are_none(liar, tmp_path, lock, length):
    liar.answers.append([f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + TABLE])
    _refuse(liar, tmp_path, lock, "genes.csv", "after 8 attempts .*ontent-Length")
    assert len(liar.asked) == 8


def test_range_that_does_not_fit_its_length(liar, tmp_path, lock):
    liar.say(f"Content-Length: {len(TABLE)}", 'ETag: "a"', body=TABLE[:20])
    rest = len(TABLE) - 20
    liar.say(
        "Content-Length: 5",
        f"Content-Range: bytes 20-{len(TABLE) - 1}/{len(TABLE)}",
        body=TABLE[20:25],
        status="206 Partial Content",
    )
    _refuse(liar, tmp_path, lock, "genes.csv", "announces 5 bytes after byte 20")
    liar.answers[:] = []
    liar.say(
        f"Content-Length: {rest}",
        f"Content-Range: bytes 20-{len(TABLE) - 1}/{len(TABLE)}",
        'ETag: "a"',
        body=TABLE[20:],
        status="206 Partial Content",
    )
    fetch(f"{liar.url}/genes.csv", tmp_path / "cache" / "genes.csv", lock=lock)
    assert (tmp_path / "cache" / "genes.csv").read_bytes() == TABLE


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv(connection.VARIABLE, "0.05")
    monkeypatch.setattr(download, "_ATTEMPTS", 2)


SLOW = {
    "says nothing": [100],
    "drips headers": [b"HTTP/1.1 200 OK\r\nX: ", *[b"a", 0.02] * 500],
    "drips": [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *[b"a", 0.02] * 500],
    "hangs": [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nwell,", 100],
    "drips, without a length": [b"HTTP/1.1 200 OK\r\n\r\n", *[b"a", 0.02] * 500],
    "drips a redirection": [
        b"HTTP/1.1 302 Found\r\nLocation: /genes.csv\r\nContent-Length: 999\r\n\r\n",
        *[b"a", 0.02] * 500,
    ],
}


@pytest.mark.parametrize("way", SLOW)
def test_slow_servers_are_given_up(liar, tmp_path, lock, impatient, way):
    liar.answers.append(SLOW[way])
    message = "redirects" if "redirection" in way else "MORPHPIPE_DOWNLOAD_PATIENCE to more"
    _refuse(liar, tmp_path, lock, "genes.csv", f"after 2 attempts .*{message}")
    with pytest.raises(DataError, match=message):
        fetch_plate(liar.url, ["plane.png"], tmp_path / "plate.zip")


@pytest.mark.parametrize("way", ["says nothing", "drips headers", "drips"])
def test_slow_ranges_are_given_up(liar, tmp_path, monkeypatch, impatient, way):
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    liar.say("Content-Range: bytes 0-0/999", body=b"P", status="206 Partial Content")
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-998/999\r\n\r\n"
    liar.answers.append([head, *SLOW["drips"][1:]] if way == "drips" else SLOW[way])
    with pytest.raises(DataError, match="MORPHPIPE_DOWNLOAD_PATIENCE to more"):
        fetch_members(f"{liar.url}/a.zip", tmp_path / "a.zip", wanted=lambda name: True)


def test_weights_are_not_looked_for_without_end(liar, tmp_path, impatient):
    liar.answers.append(SLOW["drips headers"])
    declared = Weights(source=liar.url, files=["a.safetensors"], licence="MIT")
    with pytest.raises(WeightsError, match=r"does not answer .*MORPHPIPE_DOWNLOAD_PATIENCE"):
        look_for_weights("mine", declared, tmp_path / "weights")


def test_slow_but_steady_is_waited_for(liar, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    monkeypatch.setattr(connection, "SLOWEST", 1)
    pieces = [piece for byte in TABLE * 2 for piece in (bytes([byte]), 0.002)]
    liar.answers.append([b"HTTP/1.1 200 OK\r\nContent-Length: 74\r\n\r\n", *pieces])
    fetch(f"{liar.url}/genes.csv", tmp_path / "genes.csv")
    assert len(liar.asked) == 1


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_patience_that_is_none(monkeypatch, text):
    monkeypatch.setenv(connection.VARIABLE, text)
    with pytest.raises(ConfigError, match=r"MORPHPIPE_DOWNLOAD_PATIENCE is .*: set it to seconds"):
        connection.patience()


@pytest.mark.parametrize("name", ["plane.png", "plane.tif", "function.npy"])
def test_planes(liar, tmp_path, name):
    content = PROVEN[name]
    liar.say(body=content[:-30])
    with pytest.raises(DataError, match="the connection closed early"):
        fetch_plate(liar.url, [name], tmp_path / "plate.zip")
    for body, message in ((b"", "it is empty"), (PAGE, "web page")):
        liar.answers[:] = []
        liar.say(f"Content-Length: {len(body)}", body=body)
        with pytest.raises(DataError, match=f"{name} is not an image .*{message}"):
            fetch_plate(liar.url, [name], tmp_path / "plate.zip")
    assert not (tmp_path / "plate.zip").exists()
    liar.answers[:] = []
    liar.say(body=content)
    fetch_plate(liar.url, [name], tmp_path / "plate.zip")
    with zipfile.ZipFile(tmp_path / "plate.zip") as archive:
        assert archive.read(name) == content


def test_planes_of_unknown_kind_need_a_length(liar, tmp_path):
    liar.say(body=b"pixels")
    with pytest.raises(DataError, match="does not announce the file's length"):
        fetch_plate(liar.url, ["plane.raw"], tmp_path / "plate.zip")


def test_ranges_that_never_end(liar, tmp_path):
    """No more is kept in memory than was asked for."""
    size = len(PROVEN["images.zip"])
    liar.say(f"Content-Range: bytes 0-0/{size}", body=b"P", status="206 Partial Content")
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{size - 1}/{size}\r\n\r\n"
    liar.answers.append([head.encode(), PROVEN["images.zip"], *[bytes(1 << 16)] * 100_000])
    assert fetch_members(f"{liar.url}/a.zip", tmp_path / "a.zip", wanted=lambda name: True) == 1


def test_a_page_put_there_by_hand_is_not_recorded(tmp_path, lock):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a.safetensors").write_bytes(PAGE)
    declared = Weights(source="https://x/y", files=["a.safetensors"], licence="MIT")
    with pytest.raises(WeightsError, match=r"a\.safetensors is not the expected file .*a web page"):
        fetch_weights("mine", declared, tmp_path / "w", lock)
    assert not lock.exists()


def _kind(content, *names):
    return check_kind(io.BytesIO(content), *names)


@pytest.mark.parametrize("name", PROVEN)
def test_every_cut_is_found(name):
    content = PROVEN[name]
    assert _kind(content, name) == "proven"
    for at in range(1, len(content), 1 + len(content) // 200):
        with pytest.raises((CutShortError, WrongKindError)):
            _kind(content[:at], name)


def test_kinds():
    assert _kind(TABLE, "x", "https://y/genes.CSV") == "likely"
    assert _kind(TABLE.decode().encode("utf-16"), "genes.csv") == "likely"
    assert _kind(TABLE[:-1], "genes.csv") == "open"
    assert _kind(_torch(_use_new_zipfile_serialization=False), "a.pth") == "open"
    assert _kind(PAGE, "terms.html") == "open"
    # A zip inside a zip that is cut short has an end too.
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("inner.zip", PROVEN["images.zip"])
        archive.writestr("more", b"x" * 100)
    with pytest.raises(CutShortError):
        _kind(nested.getvalue()[:-200], "a.zip")
    for content, name in (
        (b"\0\1\2", "a.csv"),
        (b"no separator\n", "a.csv"),
        (b'{"error": "a", "code": 3}', "a.csv"),
        (b"[" * 100_000, "a.json"),
        (struct.pack("<Q", 3) + b"{]}", "a.safetensors"),
        (struct.pack("<Q", 100_000) + b'{"a":' + b"[" * 99_995, "a.safetensors"),
        (struct.pack("<Q", 1 << 40) + b"{}", "a.safetensors"),
    ):
        with pytest.raises((WrongKindError, CutShortError)):
            _kind(content, name)


def test_bomb_in_a_table(monkeypatch):
    monkeypatch.setattr("morphpipe.datasets.fetch.file_kinds._LARGEST_TABLE", 1 << 20)
    with pytest.raises(WrongKindError, match="unpacks to more than"):
        _kind(gzip.compress(b"a,b\n" + bytes(b" " * (1 << 21))), "a.csv.gz")
