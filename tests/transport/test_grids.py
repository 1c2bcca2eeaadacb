import itertools

import numpy as np
import pytest

from morphpipe.core.errors import ConfigError
from morphpipe.transport.grids import edm_grid, shifted_grid, stochastic_times, uniform_grid

GRIDS = {
    "uniform": uniform_grid,
    "shifted": lambda steps: shifted_grid(steps, 3.0),
    "near the data": lambda steps: shifted_grid(steps, 0.5),
    "edm": edm_grid,
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 18, 1000])
def test_grids_fall_from_exactly_one_to_exactly_zero(grid, steps):
    times = grid(steps)
    assert len(times) == steps + 1
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert all(now > following for now, following in itertools.pairwise(times))
    with pytest.raises(ConfigError, match="at least 1 step, not 0"):
        grid(0)


def test_closed_forms():
    assert uniform_grid(4) == [1, 0.75, 0.5, 0.25, 0]
    # 3 t / (1 + 2 t) and its inverse, the shift by a third.
    assert shifted_grid(4, 3.0) == pytest.approx([1, 0.9, 0.75, 0.5, 0])
    assert shifted_grid(4, 1 / 3) == pytest.approx([1, 0.5, 0.25, 0.1, 0])
    assert shifted_grid(7, 1.0) == pytest.approx(uniform_grid(7))
    with pytest.raises(ConfigError, match="positive, not -1"):
        shifted_grid(4, -1)


def test_levels_of_edm_are_those_of_diffusers():
    """Its scheduler has the noise levels of the same equation, in single precision."""
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    scheduler.set_timesteps(18)
    sigma = scheduler.sigmas.double().numpy()
    assert len(sigma) == 19
    times = np.array(edm_grid(18))
    np.testing.assert_allclose(times[1:], (sigma / (1 + sigma))[1:], rtol=1e-5)
    assert times[0] == 1 > sigma[0] / (1 + sigma[0]) == pytest.approx(80 / 81)


def test_times_of_the_stochastic_sampler():
    assert stochastic_times(3) == pytest.approx([1, 0.52, 0.04])
    with pytest.raises(ConfigError, match="2 steps"):
        stochastic_times(1)
