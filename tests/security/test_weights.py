"""Weights of others run no code, whatever they are called and however they are made."""

import json
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from morphpipe.config.weights import Weights
from morphpipe.core.errors import MorphpipeError, WeightsError
from morphpipe.core.state_dict import read_state_dict
from morphpipe.datasets.fetch.weights import fetch_weights
from morphpipe.encoders.inception import InceptionEncoder
from morphpipe.encoders.openphenom import OpenPhenom
from morphpipe.encoders.resnet18 import ResNet18
from morphpipe.perturbations.scgpt import read_gene_encoder


@pytest.mark.parametrize("name", ["weights.pth", "model.safetensors", "best_model.pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused(tmp_path, trap, name, zipped):
    intruder, ran = trap
    torch.save({"a": intruder}, tmp_path / name, _use_new_zipfile_serialization=zipped)
    for file in ("vocab.json", "args.json"):
        (tmp_path / file).write_text("{}")
    readers = [read_state_dict, InceptionEncoder, OpenPhenom.from_file]
    for read in readers:
        with pytest.raises(WeightsError, match="neither a safetensors file nor a pickle of"):
            read(tmp_path / name)
    if name == "best_model.pt":
        with pytest.raises(WeightsError, match="neither a safetensors file nor a pickle of"):
            read_gene_encoder(tmp_path)
    assert not ran.exists()


def test_one_file_of_two_formats_runs_no_code(tmp_path, trap):
    """Valid safetensors for who looks at the beginning, a pickle for torch, which looks at both."""
    intruder, ran = trap
    path = tmp_path / "weights.pth"
    # The length of the header spells the signature of a zip archive.
    length = int.from_bytes(b"PK\x03\x04", "little")
    pickled, whole = pickle.dumps({"a": intruder}, protocol=2), tmp_path / "zip"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
    size = whole.stat().st_size
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    path.write_bytes(struct.pack("<Q", length) + header.encode().ljust(length))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
    assert read_state_dict(path).keys() == {"x"}
    with pytest.raises(WeightsError, match="does not contain torch-fidelity's Inception"):
        InceptionEncoder(path)
    assert not ran.exists()
    # The file is the danger that it is meant to be.
    torch.load(path, weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize("file", ["../a.bin", "/etc/passwd", "a/../../b", "-rf", ".hidden", "a b"])
def test_declared_files_stay_in_their_folder(file):
    with pytest.raises(ValueError, match="files"):
        Weights(source="hf://a/b", files=[file], licence="MIT")


def test_other_weights_than_those_fetched_first_are_refused(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "vae").mkdir()
    (source / "vae/a.bin").write_bytes(b"first")
    weights = Weights(source=f"file:{source}", files=["vae/a.bin"], licence="MIT")
    fetch_weights("w", weights, tmp_path / "w", tmp_path / "lock.json")
    (source / "vae/a.bin").write_bytes(b"other")
    with pytest.raises(MorphpipeError, match=r"a\.bin is damaged"):
        read_state_dict(tmp_path / "w/vae/a.bin")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_weights_that_are_no_numbers_are_named(tmp_path, value, kind):
    if kind == torch.float8_e4m3fn and value == float("inf"):
        pytest.skip("this type has no infinity")
    state = {"a": torch.ones(3), "n": torch.ones(2, dtype=torch.int64), "b": torch.ones(2, 2)}
    state["b"][1, 1] = value
    state["b"] = state["b"].to(kind)
    torch.save(state, tmp_path / "w.pt")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        with pytest.raises(WeightsError, match=rf"{name}: 1 of the 4 numbers of b are infinite"):
            read_state_dict(tmp_path / name)


def test_networks_that_are_no_numbers_are_named(tmp_path):
    network = ResNet18(["DNA"], 2, mean=[0.5], deviation=[0.1])
    with torch.no_grad():
        network.network.conv1.weight[0, 0, 0, 0] = float("nan")
    network.save(tmp_path / "r.safetensors")
    with pytest.raises(WeightsError, match=r"r\.safetensors: 1 of the .* network\.conv1\.weight"):
        ResNet18.load(tmp_path / "r.safetensors")
