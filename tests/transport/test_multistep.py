import subprocess
import sys

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.transport.grids import edm_grid, shifted_grid, uniform_grid
from morphpipe.transport.multistep import MULTISTEP, multistep
from morphpipe.transport.noise import SampleNoise

SCHEDULERS = {"dpm++": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}
GRIDS = {"uniform": uniform_grid, "shifted": lambda n: shifted_grid(n, 3.0), "edm": edm_grid}


def initial(number=64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(number, 3, generator=generator, dtype=torch.float64)


def errors(gaussian, sampler, grid, steps):
    noise = initial()
    exact = gaussian.mean + gaussian.deviation * noise  # the map that keeps the quantiles
    found = [multistep(gaussian.velocity, lambda _: noise, grid(n), sampler=sampler) for n in steps]
    return [(x - exact).abs().max().item() for x in found]


@pytest.mark.parametrize("sampler", MULTISTEP)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_samples_are_those_of_diffusers_own_loop(gaussian, sampler, shift):
    """With the times that diffusers gives itself, which start at 0.999 or 1 - 1e-6."""
    scheduler = SCHEDULERS[sampler](
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=shift
    )
    scheduler.set_timesteps(20)
    times = scheduler.sigmas.double().tolist()
    assert times[0] == pytest.approx(1, abs=1.1e-3)
    assert times[-1] == 0
    expected = initial()
    for time, timestep in zip(times, scheduler.timesteps, strict=False):
        at = torch.full((len(expected),), time, dtype=torch.float64)
        predicted = gaussian.velocity(expected, at)
        expected = scheduler.step(predicted, timestep, expected).prev_sample
    found = multistep(gaussian.velocity, lambda _: initial(), times, sampler=sampler)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sampler", MULTISTEP)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_more_steps_lead_to_the_data(gaussian, sampler, grid):
    few, more, many = errors(gaussian, sampler, grid, (8, 50, 200))
    assert many < 0.3 * more < 0.1 * few
    assert many < 5e-3


@pytest.mark.parametrize(("sampler", "order"), [("dpm++", 1.6), ("unipc", 1.9)])
def test_error_falls_with_nearly_the_square_of_the_step(gaussian, sampler, order):
    """The logarithm's ends keep them from the second order that they have in between."""
    many, twice = errors(gaussian, sampler, uniform_grid, (200, 400))
    assert many / twice > 2**order


@pytest.mark.parametrize("sampler", MULTISTEP)
def test_one_point_of_data_is_hit_exactly(sampler):
    """v = (x - m) / t, so that x - t v is m at all times: no step has an error."""
    target = torch.tensor([0.5, -2.0, 1.0]).double()
    for steps in (1, 2, 3, 10):
        x = multistep(
            lambda x, t: (x - target) / t[:, None],
            lambda _: initial(),
            shifted_grid(steps, 3.0),
            sampler=sampler,
        )
        torch.testing.assert_close(x, target.expand(64, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", MULTISTEP)
def test_times_noise_and_precision_are_as_described(sampler):
    times, asked = [], []

    def velocity(x, t):
        assert x.dtype == t.dtype == torch.float32
        times.append(t[0].item())
        return torch.zeros_like(x)

    # The last times lie in the same thousandth, where diffusers' own index goes astray.
    grid = [1.0, 0.5, 0.0024, 0.0022, 0.002, 0.0]
    x = multistep(
        velocity, lambda step: asked.append(step) or torch.zeros(2, 3), grid, sampler=sampler
    )
    assert x.dtype == torch.float32
    assert times == pytest.approx(grid[:-1])
    assert asked == [0]


@pytest.mark.parametrize("sampler", MULTISTEP)
def test_samples_do_not_depend_on_the_batch_size(sampler):
    noise = SampleNoise("experiment", 0, 0)

    def sample(indices):
        predict = lambda x, t: torch.tanh(x) * (1 + t[:, None])  # noqa: E731
        return multistep(predict, noise.source(indices, (4,)), edm_grid(5), sampler=sampler)

    parts = [sample(range(at, min(at + 3, 10))) for at in range(0, 10, 3)]
    torch.testing.assert_close(torch.cat(parts), sample(range(10)), rtol=1e-5, atol=1e-5)


def test_bad_settings_and_broken_networks_stop():
    still = lambda x, t: torch.zeros_like(x)  # noqa: E731
    noise = lambda step: torch.zeros(2, 3)  # noqa: E731
    with pytest.raises(ConfigError, match="pndm"):
        multistep(still, noise, [1, 0], sampler="pndm")
    with pytest.raises(ConfigError, match="fall from 1 to 0"):
        multistep(still, noise, [0, 1], sampler="unipc")
    with pytest.raises(ConfigError, match=r"ends at time 0, not at 0\.1"):
        multistep(still, noise, [1, 0.1], sampler="unipc")
    with pytest.raises(DataError, match="finite"):
        multistep(lambda x, t: x * torch.nan, noise, [1, 0], sampler="dpm++")


def test_names_are_read_without_diffusers():
    script = (
        "import sys\nfrom morphpipe.transport.multistep import MULTISTEP\n"
        "assert 'diffusers' not in sys.modules\nprint(*MULTISTEP)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == ["dpm++", "unipc"]
