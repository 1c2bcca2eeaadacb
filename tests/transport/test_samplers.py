import itertools
import math

import pytest
import torch

from morphpipe.errors import ConfigError, DataError
from morphpipe.transport.samplers import euler_maruyama, ode


def standard_normal(n, seed=0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chain_moments(gaussian, steps, last_time=0.04):
    """Mean and variance after the Euler–Maruyama steps, exact since every step is affine."""
    times = [1 + (last_time - 1) * k / (steps - 1) for k in range(steps)] + [0.0]
    mean, variance = torch.zeros(3).double(), torch.ones(3).double()
    for step, (t, following) in enumerate(itertools.pairwise(times)):
        h = t - following
        m, v = gaussian.moments(torch.tensor([t]).double())
        slope = (t - (1 - t) * gaussian.deviation**2) / v
        # x' = x - h (v(x) - t s(x)) with s(x) = -(x - m) / v
        mean = (mean - h * (-gaussian.mean + (slope + t / v) * (mean - m)))[0]
        variance = ((1 - h * (slope + t / v)) ** 2 * variance)[0]
        if step < steps - 1:
            variance = variance + 2 * t * h
    return mean, variance


@pytest.mark.parametrize("steps", [50, 400])
def test_euler_maruyama_samples_the_gaussian(gaussian, steps):
    n = 20_000
    generator = torch.Generator().manual_seed(1)
    x = euler_maruyama(gaussian.velocity, standard_normal(n), steps=steps, generator=generator)
    mean, variance = chain_moments(gaussian, steps)
    five_errors = 5 / math.sqrt(n)
    assert ((x.mean(0) - mean).abs() < five_errors * variance.sqrt()).all()
    assert ((x.var(0) / variance - 1).abs() < five_errors * math.sqrt(2)).all()


def test_euler_maruyama_approaches_the_data(gaussian):
    """The discretisation's own error, without sampling error, vanishes with the steps."""
    errors = []
    for steps in (50, 500, 5000):
        mean, variance = chain_moments(gaussian, steps, last_time=2 / steps)
        errors.append(
            max(
                (mean - gaussian.mean).abs().max(),
                (variance.sqrt() - gaussian.deviation).abs().max(),
            )
        )
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 2e-3


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_ode_is_accurate_to_its_order(gaussian, method, order):
    noise = standard_normal(64)
    exact = gaussian.mean + gaussian.deviation * noise  # the map that keeps the quantiles
    errors = [
        (ode(gaussian.velocity, noise, steps=n, method=method) - exact).abs().max()
        for n in (200, 400)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)
    assert errors[1] < (0.02 if order == 1 else 2e-4)


def test_steps_times_and_noise_are_asked_for_as_described():
    times, asked = [], []

    def velocity(x, t):
        assert x.dtype == t.dtype == torch.float32
        assert t.shape == (2,)
        times.append(t[0].item())
        return torch.zeros_like(x)

    def noise(step):
        asked.append(step)
        return torch.zeros(2, 3)

    euler_maruyama(velocity, noise, steps=50)
    assert times == pytest.approx([1 - 0.96 * k / 49 for k in range(50)])
    assert asked == list(range(50))  # the initial state and 49 steps; none for the last
    times.clear()
    ode(velocity, noise, steps=4, method="euler")
    assert times == [1, 0.75, 0.5, 0.25]
    times.clear()
    ode(velocity, noise, steps=2)
    assert times == [1, 0.5, 0.5, 0]


def test_last_step_takes_the_mean_only():
    """With v = -x the drift is known, and no noise may enter after the last evaluation."""
    noise = {0: torch.ones(1, 1).double(), 1: torch.zeros(1, 1).double()}
    x = euler_maruyama(lambda x, t: -x, lambda step: noise[step], steps=2, last_time=0.04)
    # v - t s = (2 - t) v + x = -(1 - t) x: nothing moves at t = 1, then 0.04 * 0.96 of it.
    assert x.item() == pytest.approx(1 + 0.04 * 0.96)


def test_state_is_double_and_result_has_the_precision_of_the_noise(gaussian):
    velocity = lambda x, t: gaussian.velocity(x.double(), t.double()).float()  # noqa: E731
    assert ode(velocity, standard_normal(2).float()).dtype == torch.float32


def test_bad_settings_and_broken_networks_stop():
    still = lambda x, t: torch.zeros_like(x)  # noqa: E731
    noise = torch.zeros(2, 3)
    with pytest.raises(ConfigError, match="2 steps"):
        euler_maruyama(still, noise, steps=1)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        euler_maruyama(still, noise, last_time=0)
    with pytest.raises(ConfigError, match="1 step"):
        ode(still, noise, steps=0)
    with pytest.raises(ConfigError, match="rk4"):
        ode(still, noise, method="rk4")
    with pytest.raises(DataError, match="finite"):
        ode(lambda x, t: x * torch.nan, noise)
