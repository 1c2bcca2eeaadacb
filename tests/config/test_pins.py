"""What the reproduction and its environment download is pinned."""

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text("utf-8"))
COMMIT = re.compile("[0-9a-f]{40}")


@pytest.mark.parametrize("name", CONTENT["weights"])
def test_weights_name_a_commit_a_checksum_or_a_file_of_ones_own(name):
    weights = CONTENT["weights"][name]
    source = weights["source"]
    if source.startswith("hf://"):
        assert COMMIT.fullmatch(weights["revision"])
    elif not source.startswith("file:"):
        assert COMMIT.search(source) or set(weights["sha256"]) == set(weights["files"])


def test_tables_from_a_repository_name_a_commit():
    text = (REPOSITORY / "config/config.yaml").read_text("utf-8")
    addresses = re.findall(r"https://raw\S+", text)
    assert addresses
    assert all(COMMIT.search(address) for address in addresses)


def test_every_package_but_torch_has_checksums():
    text = (REPOSITORY / "requirements.lock").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    for line in lines:
        assert re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
    # They come with torch's own build, whichever that is.
    assert not [line for line in lines if re.match("torch==|torchvision==|nvidia-|cuda-", line)]
    torch = (REPOSITORY / "torch.lock").read_text("utf-8").splitlines()[1:]
    assert [line.split("==")[0] for line in torch] == ["torch", "torchvision"]
