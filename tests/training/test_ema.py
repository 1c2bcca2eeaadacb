import pytest
import torch
from torch import nn

from morphpipe.training.ema import ExponentialMovingAverage


def _follow(values, decay, **options):
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(values[0])
    average = ExponentialMovingAverage(module, decay, **options)
    for number, value in enumerate(values[1:]):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update(module, number)
    return average.state_dict()["weight"].item()


def test_closed_form():
    values = [3.0, -1.0, 4.0, 1.0, -5.0]
    n = len(values) - 1
    expected = 0.9**n * values[0] + sum(
        0.1 * 0.9 ** (n - i) * values[i] for i in range(1, len(values))
    )
    assert _follow(values, 0.9) == pytest.approx(expected, rel=1e-6)


def test_warmup_caps_the_decay():
    # Update n keeps min(decay, (1 + n) / (10 + n)): 1/10, 2/11, then the decay 0.2.
    expected = 8.0
    for kept, value in ((1 / 10, 1.0), (2 / 11, 2.0), (0.2, 3.0)):
        expected = kept * expected + (1 - kept) * value
    assert _follow([8.0, 1.0, 2.0, 3.0], 0.2, warmup=True) == pytest.approx(expected, rel=1e-6)


def test_average_is_kept_in_float32():
    module = nn.Linear(3, 2).to(torch.bfloat16)
    average = ExponentialMovingAverage(module, 0.999)
    average.update(module, 0)
    assert {t.dtype for t in average.state_dict().values()} == {torch.float32}


def test_state_is_taken_over():
    left, right = nn.Linear(3, 2), nn.Linear(3, 2)
    source, target = (ExponentialMovingAverage(m, 0.5) for m in (left, right))
    target.load_state_dict(source.state_dict())
    for name, tensor in left.named_parameters():
        assert torch.equal(target.state_dict()[name], tensor)
    target.update(right, 0)
    assert torch.equal(source.state_dict()["weight"], left.weight)
