import numpy as np
import pytest
import torch
from scipy import stats

from morphpipe.transport.interpolant import (
    draw_time,
    interpolate,
    score_from_velocity,
    velocity_target,
)


def test_path_starts_at_data_ends_at_noise_and_moves_with_the_target():
    data, noise = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    assert torch.equal(interpolate(data, noise, torch.zeros(3)), data)
    assert torch.equal(interpolate(data, noise, torch.ones(3)), noise)
    time = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    _, slope = torch.autograd.functional.jvp(
        lambda t: interpolate(data, noise, t), time, torch.ones_like(time)
    )
    torch.testing.assert_close(slope, velocity_target(data, noise))


def test_score_is_the_gradient_of_the_log_density(gaussian):
    time = torch.linspace(0.05, 1, 7, dtype=torch.float64)
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    mean, variance = gaussian.moments(time)
    density = torch.distributions.Normal(mean, variance.sqrt()).log_prob(x).sum()
    (expected,) = torch.autograd.grad(density, x)
    found = score_from_velocity(x.detach(), gaussian.velocity(x.detach(), time), time)
    torch.testing.assert_close(found, expected)


def test_velocity_of_the_gaussian_is_the_regression_of_the_target(gaussian):
    """The fixture's closed form against a least-squares fit: the tests below rest on it."""
    generator = torch.Generator().manual_seed(0)
    n = 200_000
    data = gaussian.mean + gaussian.deviation * torch.randn(n, 3, generator=generator).double()
    noise = torch.randn(n, 3, generator=generator).double()
    x = interpolate(data, noise, torch.full((n,), 0.3))
    for axis in range(3):
        design = torch.stack([torch.ones(n).double(), x[:, axis]], 1)
        fit = torch.linalg.lstsq(design, velocity_target(data, noise)[:, axis]).solution
        at = torch.zeros(2, 3).double()
        at[1, axis] = 1
        velocity = gaussian.velocity(at, torch.full((2,), 0.3).double())[:, axis]
        torch.testing.assert_close(torch.stack([fit[0], fit.sum()]), velocity, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("sampling", "distribution"),
    [("uniform", stats.uniform()), ("logit-normal", stats.norm())],
)
def test_times_are_of_their_distribution(sampling, distribution):
    random = np.random.default_rng(1)
    times = np.array([draw_time(random, sampling) for _ in range(5_000)])
    assert 0 <= times.min() < times.max() < 1
    values = times if sampling == "uniform" else np.log(times / (1 - times))
    assert stats.kstest(values, distribution.cdf).pvalue > 0.01
