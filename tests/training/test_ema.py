import numpy as np
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


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.15, 0.25])
def test_weights_of_the_power_function_average_have_the_deviation(deviation):
    """By the definition: what each update's parameters weigh in the average after the last."""
    updates = 4000
    module = nn.Linear(1, 1, bias=False)
    average = ExponentialMovingAverage(module, 0.5, deviation=deviation)
    weights = np.zeros(updates)
    for update in range(updates):
        decay = (update / (update + 1)) ** (average.power + 1)
        weights *= decay
        weights[update] = 1 - decay
    assert weights.sum() == pytest.approx(1)
    place = (np.arange(updates) + 1) / updates
    mean = weights @ place
    assert np.sqrt(weights @ (place - mean) ** 2) == pytest.approx(deviation, rel=5e-3)
    values = np.random.default_rng(0).normal(size=50)
    for update, value in enumerate(values):
        module.weight.data.fill_(value)
        average.update(module, update)
    # Weights that are proportional to a power of the update, but for what is discrete.
    power = np.diff(np.arange(51.0) ** (average.power + 1))
    expected = power @ values / power.sum()
    assert average.state_dict()["weight"].item() == pytest.approx(expected, rel=1e-4)


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
