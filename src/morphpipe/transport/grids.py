"""Time grids of flows, from 1 (noise) to 0 (data).

A grid of `steps` steps has steps + 1 times, decreasing strictly from exactly 1 to exactly 0.
"""

import numpy as np

from morphpipe.core.errors import ConfigError

_RHO, _SIGMA_MIN, _SIGMA_MAX = 7, 0.002, 80.0  # Karras et al. 2022, table 1, "Ours"


def uniform_grid(steps: int) -> list[float]:
    """Equal steps.

    Raises
    ------
    ConfigError
        If there is no step.
    """
    _check(steps)
    return _linspace(1.0, 0.0, steps + 1)


def shifted_grid(steps: int, shift: float) -> list[float]:
    """Equal steps, shifted towards the noise: t' = s t / (1 + (s - 1) t).

    Esser et al. 2024 (arXiv:2403.03206), equation 23, with their sqrt(m / n) as s; Stable
    Diffusion 3 samples with s = 3.

    Parameters
    ----------
    steps
        Number of steps, 1 or more.
    shift
        s > 0. Above 1 there are more steps near the noise, below 1 more near the data; 1 is the
        uniform grid.

    Raises
    ------
    ConfigError
        If there is no step, or the shift is not positive.
    """
    if not shift > 0:
        raise ConfigError(f"The shift of a time grid must be positive, not {shift}.")
    return [shift * time / (1 + (shift - 1) * time) for time in uniform_grid(steps)]


def edm_grid(steps: int) -> list[float]:
    """Convert the noise levels of Karras et al. 2022 (arXiv:2206.00364) to times of a flow.

    Equation 5 with rho = 7, from sigma = 80 down to 0.002 in `steps` levels, and then 0. With x_t /
    (1 - t) = x + t / (1 - t) eps, noise level sigma corresponds to t = sigma / (1 + sigma). The
    first level gives 0.988 and is set to 1 (pure noise).

    Raises
    ------
    ConfigError
        If there is no step.
    """
    _check(steps)
    roots = _linspace(_SIGMA_MAX ** (1 / _RHO), _SIGMA_MIN ** (1 / _RHO), steps)
    return [1.0, *(root**_RHO / (1 + root**_RHO) for root in roots[1:]), 0.0]


def stochastic_times(steps: int, last_time: float = 0.04) -> list[float]:
    """Evaluation times of REPA's stochastic sampler: linspace(1, last_time, steps).

    Its last step goes from `last_time` to 0.

    Raises
    ------
    ConfigError
        If there are fewer than 2 steps or `last_time` is not in (0, 1).
    """
    if steps < 2:
        raise ConfigError(f"The stochastic sampler needs at least 2 steps, not {steps}.")
    if not 0 < last_time < 1:
        raise ConfigError(f"The time of the last step must lie between 0 and 1, not {last_time}.")
    return _linspace(1.0, last_time, steps)


def _check(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"The sampler needs at least 1 step, not {steps}.")


def _linspace(start: float, end: float, number: int) -> list[float]:
    times: list[float] = np.linspace(start, end, number).tolist()
    return times
