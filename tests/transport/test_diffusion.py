import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDPMScheduler

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.transport.diffusion import (
    SAMPLERS,
    STABLE_DIFFUSION,
    NoiseSchedule,
    ddpm_scheduler,
    denoise,
    invert,
)
from morphpipe.transport.noise import SampleNoise

# As MorphoDiff and Stable Diffusion's scheduler_config.json have it.
PUBLISHED = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}


ABAR = DDPMScheduler(**PUBLISHED).alphas_cumprod.double().numpy()


def share_of_data(timestep):
    """abar at a timestep; between two whole ones ("euler") diffusers' sigma is linear."""
    sigma = np.interp(timestep, np.arange(1000), np.sqrt((1 - ABAR) / ABAR))
    return torch.from_numpy(np.asarray(1 / (1 + sigma**2)))


def predictor(gaussian):
    """E[eps | x_t] of Gaussian data: the regression of one Gaussian on another."""

    def predict(x, timestep):
        a = share_of_data(timestep.double().numpy())[:, None]
        variance = a * gaussian.deviation**2 + 1 - a
        return (1 - a).sqrt() * (x - a.sqrt() * gaussian.mean) / variance

    return predict


def replayed(n, seed=0):
    """Noise drawn in order from one generator."""
    generator = torch.Generator().manual_seed(seed)
    return lambda step: torch.randn(n, 3, generator=generator, dtype=torch.float64)


def ancestral_moments(gaussian, steps):
    """Mean and variance of the published chain, exact since every step is affine.

    From equations 6 and 7 of Ho et al. 2020 at every (1000 / steps)th timestep.
    """
    mean, variance = torch.zeros(3).double(), torch.ones(3).double()
    times = [k * (1000 // steps) + 1 for k in range(steps)][::-1]
    for t, following in zip(times, [*times[1:], None], strict=True):
        a = share_of_data(t)
        before = torch.tensor(1.0).double() if following is None else share_of_data(following)
        alpha = a / before
        total = a * gaussian.deviation**2 + 1 - a
        # x0 = (x - sqrt(1 - a) eps) / sqrt(a) with eps = sqrt(1 - a) (x - sqrt(a) m) / total
        slope = (1 - (1 - a) / total) / a.sqrt()
        offset = (1 - a) / total * gaussian.mean
        of_data = before.sqrt() * (1 - alpha) / (1 - a)
        of_state = alpha.sqrt() * (1 - before) / (1 - a)
        mean = of_data * (slope * mean + offset) + of_state * mean
        variance = (of_data * slope + of_state) ** 2 * variance
        variance = variance + (1 - before) / (1 - a) * (1 - alpha)
    return mean, variance


def flow(gaussian, x, timestep):
    """Where the exact probability flow takes a state: it keeps the quantiles."""
    a = share_of_data(timestep)
    deviation = (a * gaussian.deviation**2 + 1 - a).sqrt()
    return gaussian.mean + gaussian.deviation * (x - a.sqrt() * gaussian.mean) / deviation


def test_schedule_is_the_published_one():
    abar = STABLE_DIFFUSION.abar
    assert abar[0].item() == pytest.approx(1 - 0.00085, abs=1e-12)
    assert (abar[999] / abar[998]).item() == pytest.approx(1 - 0.012, abs=1e-12)
    expected = torch.from_numpy(ABAR)
    torch.testing.assert_close(abar, expected, rtol=3e-5, atol=0)
    ours = ddpm_scheduler()
    torch.testing.assert_close(ours.alphas_cumprod.double(), expected, rtol=0, atol=0)
    ours.set_timesteps(50)
    assert ours.timesteps.tolist() == list(range(981, 0, -20))
    assert ours.config["variance_type"] == "fixed_small"
    assert not ours.config["clip_sample"]


def test_another_schedule_reaches_the_scheduler():
    schedule = NoiseSchedule(timesteps=100, beta_start=0.001, beta_end=0.1)
    expected = ddpm_scheduler(schedule).alphas_cumprod.double()
    torch.testing.assert_close(schedule.abar, expected, rtol=3e-5, atol=0)


def test_states_are_those_of_diffusers():
    data, noise = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([0, 10, 500, 999])
    expected = DDPMScheduler(**PUBLISHED).add_noise(data, noise, timestep)
    found = STABLE_DIFFUSION.diffuse(data, noise, timestep)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_timestep_has_its_share_of_the_time():
    below_one = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    time = torch.tensor([0.0, 0.0009, 0.0011, 0.5004, below_one, 1.0])
    assert STABLE_DIFFUSION.timestep(time).tolist() == [0, 0, 1, 500, 999, 999]
    middles = (torch.arange(1000) + 0.5) / 1000
    assert torch.equal(STABLE_DIFFUSION.timestep(middles), torch.arange(1000))


def test_predictor_of_the_gaussian_is_its_score(gaussian):
    """The closed form against the density's gradient: the tests below rest on it."""
    x = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    timestep = torch.tensor([1, 300, 981])
    a = share_of_data(timestep.numpy())[:, None]
    deviation = (a * gaussian.deviation**2 + 1 - a).sqrt()
    density = torch.distributions.Normal(a.sqrt() * gaussian.mean, deviation).log_prob(x).sum()
    (score,) = torch.autograd.grad(density, x)
    found = predictor(gaussian)(x.detach(), timestep)
    torch.testing.assert_close(found, -(1 - a).sqrt() * score)


@pytest.mark.parametrize("steps", [50, 250])
def test_ddpm_samples_the_gaussian(gaussian, steps):
    n = 20_000
    x = denoise(predictor(gaussian), replayed(n), steps=steps)
    mean, variance = ancestral_moments(gaussian, steps)
    five_errors = 5 / math.sqrt(n)
    assert ((x.mean(0) - mean).abs() < five_errors * variance.sqrt()).all()
    assert ((x.var(0) / variance - 1).abs() < five_errors * math.sqrt(2)).all()


def test_ddpm_approaches_the_data(gaussian):
    """The chain's own error, without sampling error: 50 steps narrow what is narrow already.

    The mean keeps what the last timestep's state, which is not noise alone, would have told.
    """
    moments = [ancestral_moments(gaussian, steps) for steps in (50, 100, 250, 500)]
    assert (moments[-1][0] - gaussian.mean).abs().max() < 0.015
    errors = [(v.sqrt() / gaussian.deviation - 1).abs().max().item() for _, v in moments]
    assert errors[0] == pytest.approx(0.155, abs=0.001)
    assert all(a > 1.4 * b for a, b in itertools.pairwise(errors))
    assert errors[-1] < 0.04


@pytest.mark.parametrize(
    ("sampler", "first", "error"),
    [("ddim", 981, 0.06), ("euler", 999, 0.06), ("dpm++", 999, 0.06), ("pndm", 981, 0.01)],
)
def test_deterministic_samplers_approach_the_flow(gaussian, sampler, first, error):
    """With diffusers' last step, which is of first order, none of them is of a higher one."""
    errors = []
    for steps in (50, 100):
        start = replayed(64)(0)
        asked = []

        def predict(x, timestep, asked=asked):
            asked.append(timestep[0].item())
            return predictor(gaussian)(x, timestep)

        x = denoise(predict, {0: start}.__getitem__, sampler=sampler, steps=steps)
        assert steps != 50 or asked[0] == first
        if sampler == "euler":
            # Its state is x + sigma eps, and starts as sigma times the noise.
            start = start * (1 - share_of_data(asked[0])).sqrt()
        errors.append((x - flow(gaussian, start, asked[0])).abs().max().item())
    assert errors[1] < 0.7 * errors[0]
    assert errors[1] < error


def test_ddpm_is_the_chain_of_diffusers(gaussian):
    """The scheduler's own loop, which draws the same noise from the same generator."""
    scheduler = DDPMScheduler(**PUBLISHED)
    scheduler.set_timesteps(50)
    generator = torch.Generator().manual_seed(7)
    expected = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    for timestep in scheduler.timesteps:
        predicted = predictor(gaussian)(expected, timestep.expand(6))
        expected = scheduler.step(predicted, timestep, expected, generator=generator).prev_sample
    found = denoise(predictor(gaussian), replayed(6, seed=7))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_timesteps_noise_and_precision_are_as_described():
    timesteps, asked = [], []

    def predict(x, timestep):
        assert x.dtype == torch.float32
        assert timestep.dtype == torch.int64
        assert timestep.shape == (2,)
        timesteps.append(timestep[0].item())
        return torch.zeros_like(x)

    def noise(step):
        asked.append(step)
        return torch.zeros(2, 3)

    assert denoise(predict, noise).dtype == torch.float32
    assert timesteps == list(range(981, 0, -20))
    assert asked == list(range(50))  # the initial state and 49 steps; none for the last
    asked.clear()
    denoise(predict, noise, sampler="dpm++", steps=20)
    assert asked == [0]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_do_not_depend_on_the_batch_size(sampler):
    noise = SampleNoise("experiment", 0, 0)

    def sample(indices):
        predict = lambda x, t: torch.tanh(x) * (1 + t[:, None] / 1000)  # noqa: E731
        return denoise(predict, noise.source(indices, (4,)), sampler=sampler, steps=5)

    parts = [sample(range(at, min(at + 3, 10))) for at in range(0, 10, 3)]
    torch.testing.assert_close(torch.cat(parts), sample(range(10)), rtol=1e-6, atol=1e-6)


def test_bad_settings_and_broken_networks_stop():
    still = lambda x, t: torch.zeros_like(x)  # noqa: E731
    noise = lambda step: torch.zeros(2, 3)  # noqa: E731
    with pytest.raises(ConfigError, match="heun"):
        denoise(still, noise, sampler="heun")
    for steps in (1, 501):
        with pytest.raises(ConfigError, match=f"2 to 500 steps, not {steps}"):
            denoise(still, noise, steps=steps)
    with pytest.raises(ConfigError, match="timestep 898 of 1000"):
        denoise(still, noise, steps=300)
    denoise(still, noise, sampler="dpm++", steps=300)
    with pytest.raises(DataError, match="finite"):
        denoise(lambda x, t: x * torch.nan, noise)


def test_names_of_samplers_and_presets_are_read_without_heavy_imports():
    script = (
        "import sys\n"
        "from morphpipe.config.unet_presets import UNET_PRESETS\n"
        "assert 'torch' not in sys.modules\n"
        "from morphpipe.transport.diffusion import SAMPLERS\n"
        "assert 'diffusers' not in sys.modules\n"
        "print(*SAMPLERS, *UNET_PRESETS)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert output.split()[:2] == ["ddpm", "ddim"]
    assert output.split()[-1] == "SD-test"


def there_and_back(gaussian, steps, iterations):
    data = gaussian.mean + gaussian.deviation * replayed(64)(0)
    predict = predictor(gaussian)
    noise = invert(predict, data, steps=steps, iterations=iterations)
    back = denoise(predict, lambda step: noise, sampler="ddim", steps=steps)
    return (back - data).abs().max().item()


def test_inversion_of_ddim_is_exact_when_iterated(gaussian):
    once, twice = there_and_back(gaussian, 20, 1), there_and_back(gaussian, 40, 1)
    assert 1.5 < once / twice < 3  # of first order
    assert there_and_back(gaussian, 20, 4) < 0.1 * once
    # Until diffusers' tables in single precision are what is left.
    assert there_and_back(gaussian, 20, 40) < 1e-5


def test_one_iteration_is_diffusers_inverse_of_ddim(gaussian):
    data, predict = gaussian.mean + gaussian.deviation * replayed(8)(0), predictor(gaussian)
    inverse = DDIMInverseScheduler(**PUBLISHED, timestep_spacing="leading", set_alpha_to_one=True)
    inverse.set_timesteps(20)
    x = data
    for timestep in inverse.timesteps:
        x = inverse.step(predict(x, timestep.expand(len(x))), timestep, x).prev_sample
    found = invert(predict, data, steps=20, iterations=1)
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)
