import json

import pytest
import torch
from torch import nn

from morphpipe.core.errors import DataError, WeightsError
from morphpipe.tables.checkpoint_state import CheckpointState, read_state
from morphpipe.training.checkpoint import (
    checkpoint_path,
    checkpoints,
    load_average,
    load_checkpoint,
    remove_older,
    save_checkpoint,
)
from morphpipe.training.ema import ExponentialMovingAverage


def _make(seed, width=8):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, width), nn.GELU(), nn.Linear(width, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1, fused=True)
    return model, ExponentialMovingAverage(model, 0.9), [optimizer]


def _train(parts, steps, first=0):
    model, average, [optimizer] = parts
    for step in range(first, first + steps):
        x = torch.randn(16, 5, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        average.update(model, step)


@pytest.fixture
def saved(tmp_path):
    parts = _make(0)
    _train(parts, 5)
    state = CheckpointState(5, "abc", {"a": [1, None]}, (4, 2, 2))
    save_checkpoint(tmp_path / "c", state, *parts, notes={"README.md": "a card"})
    return tmp_path / "c", parts, state


def test_everything_comes_back_bit_for_bit(saved):
    folder, parts, state = saved
    restored = _make(1)
    assert load_checkpoint(folder, *restored) == state
    assert (folder / "README.md").read_text() == "a card"
    # Training on is the strictest comparison: weights, average and both moments of Adam.
    _train(parts, 3, first=5)
    _train(restored, 3, first=5)
    for left, right in zip(parts[0].parameters(), restored[0].parameters(), strict=True):
        assert torch.equal(left, right)
    left, right = parts[1].state_dict(), restored[1].state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)
    left, right = (p[2][0].state_dict()["state"] for p in (parts, restored))
    assert all(torch.equal(left[i][k], right[i][k]) for i in left for k in left[i])


def test_average_is_what_is_sampled_from(saved):
    folder, parts, _ = saved
    average = load_average(folder)
    assert torch.equal(average["0.weight"], parts[1].state_dict()["0.weight"])
    assert not torch.equal(average["0.weight"], parts[0][0].weight)


@pytest.mark.parametrize("name", ["model", "ema", "optimizer"])
def test_damage_is_noticed(saved, name):
    folder, _, _ = saved
    path = folder / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}\.safetensors is damaged"):
        read_state(folder)
    path.unlink()
    with pytest.raises(DataError, match=rf"lacks {name}\.safetensors.*copy it again"):
        read_state(folder)


def test_missing_checkpoint_is_said_with_what_one_is(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is not a checkpoint\. A checkpoint is a"):
        read_state(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"lacks state\.json"):
        read_state(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": {}}', '{"step": 1}'])
def test_damaged_state_is_noticed(saved, content):
    folder, _, _ = saved
    (folder / "state.json").write_text(content)
    with pytest.raises(DataError, match=r"state\.json (cannot be read|is damaged)"):
        read_state(folder)


def test_other_network_is_refused(saved):
    with pytest.raises(DataError, match="does not fit the model"):
        load_checkpoint(saved[0], *_make(0, width=9))


def test_state_is_plain_text(saved):
    content = json.loads((saved[0] / "state.json").read_text())
    assert (content["step"], content["identity"]) == (5, "abc")


def test_newest_first_and_older_removed(tmp_path):
    assert list(checkpoints(tmp_path / "none")) == []
    for step in (8, 1200, 90, 100_000):
        checkpoint_path(tmp_path, step).mkdir()
    steps = [int(path.name.removeprefix("step-")) for path in checkpoints(tmp_path)]
    assert steps == [100_000, 1200, 90, 8]
    remove_older(tmp_path, keep=2)
    assert len(list(checkpoints(tmp_path))) == 2


def test_weights_that_are_not_finite_are_named(tmp_path):
    parts = _make(0)
    _train(parts, 5)
    with torch.no_grad():
        parts[0][2].weight[0, 3] = float("nan")
    save_checkpoint(tmp_path / "c", CheckpointState(5, "abc", {}, (4, 2, 2)), *parts)
    with pytest.raises(WeightsError, match=r"model\.safetensors: 1 of the 8 numbers of 2\.weight"):
        load_checkpoint(tmp_path / "c", *_make(1))
    load_average(tmp_path / "c")
