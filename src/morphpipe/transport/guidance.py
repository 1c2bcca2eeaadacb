"""Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598) on a velocity or a noise."""

import torch
from torch import Tensor

from morphpipe.errors import ConfigError
from morphpipe.transport.samplers import Velocity


def guided(
    conditional: Velocity,
    unconditional: Velocity,
    *,
    scale: float,
    interval: tuple[float, float] | None = None,
) -> Velocity:
    """Velocity (or predicted noise) that is pushed away from the unconditional one.

    v = v_null + scale (v_condition - v_null) inside the interval low <= t <= high (Kynkäänniemi
    et al. 2024, arXiv:2404.07724), v_condition outside. The drift of the stochastic sampler is
    affine in the velocity with slope (2 - t), so that guiding the velocity is the same as guiding
    the drift, as REPA's sampler does.

    Parameters
    ----------
    conditional, unconditional
        Velocities with and without the condition.
    scale
        1 switches guidance off: `conditional` is returned as it is.
    interval
        (low, high), times within [0, 1]; the unconditional velocity is not evaluated outside.
        None: at all times, whatever their unit.

    Raises
    ------
    ConfigError
        If the interval is not within [0, 1].
    """
    low, high = interval or (float("-inf"), float("inf"))
    if interval is not None and not 0 <= low <= high <= 1:
        raise ConfigError(
            f"The guidance interval [{low}, {high}] must lie within [0, 1], "
            "with the lower end first."
        )
    if scale == 1:
        return conditional

    def velocity(x: Tensor, time: Tensor) -> Tensor:
        inside = (time >= low) & (time <= high)
        # Asked before the network runs, since on a GPU the answer waits for what was launched.
        any_inside = bool(inside.any())
        condition = conditional(x, time)
        if not any_inside:
            return condition
        null = unconditional(x, time)
        inside = inside.reshape(-1, *([1] * (x.ndim - 1)))
        return torch.where(inside, null + scale * (condition - null), condition)

    return velocity
