import itertools
import math

import pytest
import torch

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.transport.grids import edm_grid, shifted_grid, uniform_grid
from morphpipe.transport.noise import SampleNoise
from morphpipe.transport.samplers import METHODS, euler_maruyama, ode


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


def slow_start(steps):
    """A grid whose first steps are as short as the square of the others."""
    return [1 - (k / steps) ** 2 for k in range(steps + 1)]


def ode_errors(gaussian, grid, steps, **settings):
    """Largest error of 64 samples, against the map from noise to data that keeps the quantiles.

    x_t is N((1 - t) m, (1 - t)^2 s^2 + t^2) per coordinate, and the flow moves every quantile
    along: x_0 = m + s x_1.
    """
    noise = standard_normal(64)
    exact = gaussian.mean + gaussian.deviation * noise
    found = [ode(gaussian.velocity, noise, grid(n), **settings) for n in steps]
    return [(x - exact).abs().max().item() for x in found]


@pytest.mark.parametrize(
    ("grid", "method", "order"),
    [
        (uniform_grid, "euler", 1),
        (uniform_grid, "heun", 2),
        (uniform_grid, "adams2", 2),
        # The first step is Euler's: an error of the square of the step, whatever the rest does.
        (uniform_grid, "adams3", 2),
        (uniform_grid, "adams4", 2),
        (lambda n: shifted_grid(n, 3.0), "euler", 1),
        (lambda n: shifted_grid(n, 3.0), "heun", 2),
        (lambda n: shifted_grid(n, 3.0), "adams2", 2),
        (slow_start, "heun", 2),
        (slow_start, "adams2", 2),
        (slow_start, "adams3", 3),
        (slow_start, "adams4", 4),
    ],
)
def test_ode_is_accurate_to_its_order(gaussian, grid, method, order):
    errors = ode_errors(gaussian, grid, (200, 400), method=method)
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15 if order < 4 else 0.5)
    assert errors[1] < {1: 0.025, 2: 3e-4, 3: 5e-6, 4: 1e-7}[order]


@pytest.mark.parametrize("method", METHODS)
def test_noise_levels_of_edm_lead_to_the_data(gaussian, method):
    """They do so up to the first step, which does not get shorter than 0.012."""
    few, many = ode_errors(gaussian, edm_grid, (25, 200), method=method)
    assert many < min(0.2 * few, 0.06 if method == "euler" else 2e-3)


def test_heun_ends_with_a_step_of_euler(gaussian):
    times, noise = uniform_grid(5), standard_normal(4)
    asked = []

    def velocity(x, t):
        asked.append(t[0].item())
        return gaussian.velocity(x, t)

    found = ode(velocity, noise, times, method="heun")
    assert asked == pytest.approx([1, 0.8, 0.8, 0.6, 0.6, 0.4, 0.4, 0.2, 0.2])
    x = ode(gaussian.velocity, noise, times[:-1], method="heun", last_correction=True)
    torch.testing.assert_close(
        found, x - 0.2 * gaussian.velocity(x, torch.full((4,), 0.2).double())
    )
    first, second = ode_errors(gaussian, uniform_grid, (200, 400), method="heun")
    assert math.log2(first / second) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_ode_does_not_depend_on_the_batch_and_draws_once(method):
    noise, asked = SampleNoise("experiment", 0, 0), []

    def sample(indices):
        source = noise.source(indices, (4,))
        return ode(
            lambda x, t: torch.tanh(x) * (1 + t[:, None]),
            lambda step: asked.append(step) or source(step),
            shifted_grid(5, 3.0),
            method=method,
        )

    parts = [sample(range(at, min(at + 3, 10))) for at in range(0, 10, 3)]
    torch.testing.assert_close(torch.cat(parts), sample(range(10)), rtol=1e-6, atol=1e-6)
    assert set(asked) == {0}
    assert len(asked) == 5


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
    for method in ("euler", "adams2", "adams3", "adams4"):
        times.clear()
        ode(velocity, noise, uniform_grid(4), method=method)
        assert times == [1, 0.75, 0.5, 0.25]
    times.clear()
    ode(velocity, noise, uniform_grid(2), method="heun")
    assert times == [1, 0.5, 0.5]


def test_last_step_takes_the_mean_only():
    """With v = -x the drift is known, and no noise may enter after the last evaluation."""
    noise = {0: torch.ones(1, 1).double(), 1: torch.zeros(1, 1).double()}
    x = euler_maruyama(lambda x, t: -x, lambda step: noise[step], steps=2, last_time=0.04)
    # v - t s = (2 - t) v + x = -(1 - t) x: nothing moves at t = 1, then 0.04 * 0.96 of it.
    assert x.item() == pytest.approx(1 + 0.04 * 0.96)


def test_state_is_double_and_result_has_the_precision_of_the_noise(gaussian):
    velocity = lambda x, t: gaussian.velocity(x.double(), t.double()).float()  # noqa: E731
    assert ode(velocity, standard_normal(2).float(), uniform_grid(3), method="adams2").dtype == (
        torch.float32
    )


def test_bad_settings_and_broken_networks_stop():
    still = lambda x, t: torch.zeros_like(x)  # noqa: E731
    noise = torch.zeros(2, 3)
    with pytest.raises(ConfigError, match="2 steps"):
        euler_maruyama(still, noise, steps=1)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        euler_maruyama(still, noise, last_time=0)
    with pytest.raises(ConfigError, match="rk4"):
        ode(still, noise, [1, 0], method="rk4")
    for times in ([1.0], [1, 0.5, 0.5, 0], [0, 1], [2, 0], [1, -1]):
        with pytest.raises(ConfigError, match="fall from 1 to 0"):
            ode(still, noise, times, method="heun")
    with pytest.raises(DataError, match="finite"):
        ode(lambda x, t: x * torch.nan, noise, [1, 0], method="heun")
