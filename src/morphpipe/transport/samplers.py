"""From noise to data: the stochastic sampler of the papers, and the ordinary differential equation.

Both integrate from t = 1 (noise) to t = 0 (data) along the linear path, see `interpolant`. The
state is kept in double precision; the velocity is evaluated in the precision of the noise.
"""

import itertools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from morphpipe.errors import ConfigError, DataError
from morphpipe.transport.interpolant import score_from_velocity
from morphpipe.transport.noise import NoiseSource

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Maps a state [N, ...] and its times [N] to a velocity [N, ...]."""


@torch.no_grad()
def euler_maruyama(
    velocity: Velocity,
    noise: Tensor | NoiseSource,
    *,
    steps: int = 50,
    last_time: float = 0.04,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample with the Euler–Maruyama scheme for the reverse stochastic differential equation.

    dx = (v - t s) dt + sqrt(2 t) dw with the score s from the velocity, at the times
    linspace(1, last_time, steps) and then 0; the last step takes the mean only. This is REPA's
    sampler (diffusion coefficient w_t = 2 t), which MorphGen uses with 50 steps.

    Parameters
    ----------
    velocity
        Velocity of the generator; evaluated `steps` times.
    noise
        Noise [N, ...] as a function of the step: 0 for the initial state, 1 to steps - 1 for what
        is added after each step but the last. Or the initial state alone; the later noise is then
        drawn from `generator`.
    steps
        Number of steps, 2 or more.
    last_time
        Time at which the last step starts, in (0, 1).
    generator
        Source of the later noise where `noise` is a tensor; on the tensor's device.

    Returns
    -------
    Tensor
        Samples [N, ...] in the precision of the noise.

    Raises
    ------
    ConfigError
        If there are fewer than 2 steps or `last_time` is not in (0, 1).
    DataError
        If the samples are not finite.
    """
    if steps < 2:
        raise ConfigError(f"The stochastic sampler needs 2 steps or more, not {steps}.")
    if not 0 < last_time < 1:
        raise ConfigError(f"The time of the last step must lie between 0 and 1, not {last_time}.")
    source = _source(noise, generator)
    initial = source(0)
    times = [*torch.linspace(1.0, last_time, steps, dtype=torch.float64).tolist(), 0.0]
    x = initial.double()
    for step, (now, following) in enumerate(itertools.pairwise(times), start=1):
        difference = following - now
        time = torch.full((len(x),), now, dtype=torch.float64, device=x.device)
        v = _evaluate(velocity, x, time, initial.dtype)
        drift = v - now * score_from_velocity(x, v, time)
        x = x + drift * difference
        if step < steps:
            # Asked for only now: on a GPU the noise is drawn while the network is still running.
            x = x + (2 * now * abs(difference)) ** 0.5 * source(step).double()
    return check_finite(x).to(initial.dtype)


@torch.no_grad()
def ode(
    velocity: Velocity,
    noise: Tensor | NoiseSource,
    *,
    steps: int = 50,
    method: Literal["heun", "euler"] = "heun",
) -> Tensor:
    """Sample by integrating dx = v dt over equal steps from t = 1 to t = 0.

    Parameters
    ----------
    velocity
        Velocity of the generator; evaluated once ("euler") or twice ("heun") a step.
    noise
        Initial state [N, ...], or a function whose value at step 0 it is.
    steps
        Number of steps, 1 or more.
    method
        "euler" is accurate to first order in the step, "heun" to second.

    Returns
    -------
    Tensor
        Samples [N, ...] in the precision of the noise.

    Raises
    ------
    ConfigError
        If there is no step, or the method is unknown.
    DataError
        If the samples are not finite.
    """
    if steps < 1:
        raise ConfigError(f"The sampler needs 1 step or more, not {steps}.")
    if method not in ("heun", "euler"):
        raise ConfigError(f'Unknown method "{method}" of the sampler: choose "heun" or "euler".')
    initial = _source(noise, None)(0)
    times = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64, device=initial.device)
    x = initial.double()
    for now, following in itertools.pairwise(times):
        difference = following - now
        v = _evaluate(velocity, x, now.expand(len(x)), initial.dtype)
        if method == "heun":
            predicted = x + v * difference
            v = (v + _evaluate(velocity, predicted, following.expand(len(x)), initial.dtype)) / 2
        x = x + v * difference
    return check_finite(x).to(initial.dtype)


def _evaluate(velocity: Velocity, x: Tensor, time: Tensor, dtype: torch.dtype) -> Tensor:
    """Evaluate the velocity in the generator's precision, and return it in double precision."""
    return velocity(x.to(dtype), time.to(dtype)).double()


def _source(noise: Tensor | NoiseSource, generator: torch.Generator | None) -> NoiseSource:
    """Noise as a function of the step."""
    if not isinstance(noise, Tensor):
        return noise
    initial = noise

    def draw(step: int) -> Tensor:
        if step == 0:
            return initial
        return torch.randn(
            initial.shape, generator=generator, dtype=initial.dtype, device=initial.device
        )

    return draw


def check_finite(x: Tensor) -> Tensor:
    """Return the samples, or stop where the velocity has sent them astray."""
    if not x.isfinite().all():
        raise DataError(
            "The sampler ended in values that are not finite: the generator's weights are broken "
            "or the precision is too low; check the checkpoint, or sample in float32."
        )
    return x
