import functools
import hashlib
import http.server
import json
import threading

import pytest
import torch
from safetensors.torch import save

from morphpipe.config.weights import Weights
from morphpipe.core.checksums import read_record
from morphpipe.core.errors import WeightsError
from morphpipe.datasets.fetch import weights as module
from morphpipe.datasets.fetch.weights import address, fetch_weights, look_for_weights

CONTENT = save({"a": torch.ones(2)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source #1"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(CONTENT)
    return folder


def _declare(source, **columns):
    return Weights(source=str(source), files=["a.safetensors"], licence="MIT", **columns)


def test_addresses():
    hub = _declare("hf://stabilityai/sd-vae-ft-mse", revision="abc")
    assert address(hub, "config.json") == (
        "https://huggingface.co/stabilityai/sd-vae-ft-mse/resolve/abc/config.json"
    )
    assert address(_declare("https://x/y/"), "a") == "https://x/y/a"
    assert address(_declare("file:/data/w"), "a") == "file:/data/w/a"


def test_files_are_checked_and_recorded(source, tmp_path):
    folder, lock = tmp_path / "weights", tmp_path / "lock.json"
    declared = _declare(f"file:{source}", sha256={"a.safetensors": SHA256}, note="made so")
    fetch_weights("mine", declared, folder, lock)
    assert (folder / "a.safetensors").read_bytes() == CONTENT
    record = read_record(folder)
    assert record["sha256"] == {"a.safetensors": SHA256}
    assert (record["name"], record["licence"], record["note"]) == ("mine", "MIT", "made so")
    assert not lock.exists()


def test_wrong_checksum_is_an_error(source, tmp_path):
    declared = _declare(f"file:{source}", sha256={"a.safetensors": "0" * 64})
    with pytest.raises(WeightsError, match=f"'mine' are unavailable.*{SHA256}"):
        fetch_weights("mine", declared, tmp_path / "weights", tmp_path / "lock.json")
    assert not (tmp_path / "weights" / "weights.json").exists()


def test_what_cannot_be_had_says_the_ways_out(tmp_path):
    declared = _declare(f"file:{tmp_path / 'nowhere'}")
    with pytest.raises(WeightsError) as caught:
        fetch_weights("mine", declared, tmp_path / "weights", tmp_path / "lock.json")
    for way in (f"put a.safetensors into {tmp_path / 'weights'}", "weights.mine.source", "trained"):
        assert way in str(caught.value)


def test_file_put_there_by_hand_is_taken_recorded_and_demanded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fetch", lambda *a, **k: pytest.fail("nothing is to be fetched"))
    folder, lock = tmp_path / "weights", tmp_path / "lock.json"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(CONTENT)
    declared = _declare("https://x/y")
    fetch_weights("mine", declared, folder, lock)
    assert json.loads(lock.read_text()) == {"https://x/y/a.safetensors": SHA256}
    (folder / "a.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=f"{SHA256} is declared or was recorded"):
        fetch_weights("mine", declared, folder, lock)


def test_missing_record(tmp_path):
    with pytest.raises(WeightsError, match=r"no weights\.json"):
        read_record(tmp_path)


def test_what_is_there_is_found_without_fetching_it(source, tmp_path):
    folder = tmp_path / "weights"
    look_for_weights("mine", _declare(f"file:{source}"), folder)
    assert not folder.exists()
    with pytest.raises(WeightsError, match=r"'mine' are unavailable: .* does not exist.* by hand"):
        look_for_weights("mine", _declare(f"file:{tmp_path / 'nowhere'}"), folder)
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(CONTENT)
    look_for_weights("mine", _declare(f"file:{tmp_path / 'nowhere'}"), folder)


def test_an_address_is_asked_for_weights(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.safetensors").write_bytes(CONTENT)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        look_for_weights("mine", _declare(f"{url}/there"), tmp_path / "weights")
        with pytest.raises(WeightsError, match="answers with status 404"):
            look_for_weights("mine", _declare(f"{url}/nowhere"), tmp_path / "weights")
        server.shutdown()
    with pytest.raises(WeightsError, match="does not answer"):
        look_for_weights("mine", _declare(f"{url}/there"), tmp_path / "weights")
