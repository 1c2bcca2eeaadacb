"""Samplers of flows: the papers' stochastic sampler, and the ordinary differential equation.

Both integrate from t = 1 (noise) to t = 0 (data) along the linear path, see `interpolant`. The
state is in double precision; the velocity is evaluated in the precision of the noise.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.transport.adams import adams_bashforth_weights
from morphpipe.transport.grids import stochastic_times
from morphpipe.transport.interpolant import score_from_velocity
from morphpipe.transport.noise import NoiseSource

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Maps a state [N, ...] and its times [N] to a velocity [N, ...]."""

# Adams–Bashforth of order 1 is Euler's method.
_ORDERS = {"euler": 1, "adams2": 2, "adams3": 3, "adams4": 4}
METHODS = ("heun", *_ORDERS)
"""Names of the methods of `ode`."""


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
        Noise [N, ...] as a function of the step: 0 for the initial state, 1 to steps - 1 for the
        noise after all steps but the last. Or only the initial state, with later noise from
        `generator`.
    steps
        Number of steps, at least 2.
    last_time
        Time at which the last step starts, in (0, 1).
    generator
        Generator of later noise if `noise` is a tensor; on its device.

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
    times = [*stochastic_times(steps, last_time), 0.0]
    source = _source(noise, generator)
    initial = source(0)
    x = initial.double()
    for step, (now, following) in enumerate(itertools.pairwise(times), start=1):
        difference = following - now
        time = torch.full((len(x),), now, dtype=torch.float64, device=x.device)
        v = _evaluate(velocity, x, time, initial.dtype)
        drift = v - now * score_from_velocity(x, v, time)
        x = x + drift * difference
        if step < steps:
            # Drawn only now: on a GPU the network is still running.
            x = x + (2 * now * abs(difference)) ** 0.5 * source(step).double()
    return check_finite(x).to(initial.dtype)


@torch.no_grad()
def ode(
    velocity: Velocity,
    noise: Tensor | NoiseSource,
    times: Sequence[float],
    *,
    method: str,
    last_correction: bool = False,
) -> Tensor:
    """Sample by integrating dx = v dt over given times.

    "euler" is of first order. "heun" is of second order: it averages the velocities at both ends of
    the step (Karras et al. 2022, arXiv:2206.00364, algorithm 1 without noise). "adams2", "adams3"
    and "adams4" are the Adams–Bashforth methods, which reuse earlier velocities (see
    `morphpipe.transport.adams`); the first steps, with fewer velocities, are of lower order. The
    first step is Euler's, with an error quadratic in its length: adams3 and adams4 reach their
    order if the first steps are much shorter than the others.

    Parameters
    ----------
    velocity
        Velocity of the generator; evaluated once per step, twice by "heun".
    noise
        Initial state [N, ...], or a function with that value at step 0.
    times
        From 1 to 0, see `morphpipe.transport.grids`.
    method
        One of `METHODS`.
    last_correction
        Whether "heun" corrects the last step too. REPA's sampler and algorithm 1 of Karras et al.
        use Euler's step there, which saves the evaluation at time 0.

    Returns
    -------
    Tensor
        Samples [N, ...] in the precision of the noise.

    Raises
    ------
    ConfigError
        If the times do not decrease strictly, or the method is unknown.
    DataError
        If the samples are not finite.
    """
    if method not in METHODS:
        raise ConfigError(
            f'Unknown method "{method}" of the sampler: choose one of {", ".join(METHODS)}.'
        )
    check_times(times)
    initial = _source(noise, None)(0)
    x = initial.double()

    def evaluate(x: Tensor, time: float) -> Tensor:
        at = torch.full((len(x),), time, dtype=torch.float64, device=x.device)
        return _evaluate(velocity, x, at, initial.dtype)

    # Latest first.
    known: deque[Tensor] = deque(maxlen=_ORDERS.get(method, 1))
    for step, (now, following) in enumerate(itertools.pairwise(times)):
        known.appendleft(evaluate(x, now))
        before = times[step - len(known) + 1 : step + 1][::-1]
        weights = adams_bashforth_weights(before, following)
        v = sum((w * k for w, k in zip(weights, known, strict=True)), torch.zeros_like(x))
        if method == "heun" and (last_correction or step < len(times) - 2):
            v = (v + evaluate(x + v * (following - now), following)) / 2
        x = x + v * (following - now)
    return check_finite(x).to(initial.dtype)


def _evaluate(velocity: Velocity, x: Tensor, time: Tensor, dtype: torch.dtype) -> Tensor:
    """Evaluate the velocity in the generator's precision, and return it in double precision."""
    return velocity(x.to(dtype), time.to(dtype)).double()


def _source(noise: Tensor | NoiseSource, generator: torch.Generator | None) -> NoiseSource:
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


def check_times(times: Sequence[float]) -> None:
    """Raise ConfigError unless there are two times or more, and they fall strictly within [0, 1].

    Samplers need not start at 1: what starts later takes the state at its first time as the noise.
    """
    falling = all(now > following for now, following in itertools.pairwise(times))
    if len(times) < 2 or not falling or times[0] > 1 or times[-1] < 0:
        raise ConfigError(
            f"The times of a sampler must be two or more that fall from 1 to 0, not {list(times)}."
        )


def check_finite(x: Tensor) -> Tensor:
    """Return the samples, or stop where the velocity has sent them astray."""
    if not x.isfinite().all():
        raise DataError(
            "The sampler ended in values that are not finite: the generator's weights are broken "
            "or the precision is too low; check the checkpoint, or sample in float32."
        )
    return x
