"""Guidance of a velocity or predicted noise, away from that of a worse guide.

The guide is the generator without the condition (classifier-free guidance, Ho and Salimans 2022,
arXiv:2207.12598), or a weaker version of the conditional generator (autoguidance, Karras et al.
2024, arXiv:2406.02507).
"""

import torch
from torch import Tensor

from morphpipe.core.errors import ConfigError
from morphpipe.transport.samplers import Velocity


def guided(
    velocity: Velocity,
    guide: Velocity,
    *,
    scale: float,
    interval: tuple[float, float] | None = None,
) -> Velocity:
    """Guide a velocity (or predicted noise) away from that of the guide.

    v_guide + scale (v - v_guide) inside the interval low <= t <= high (Kynkäänniemi et al. 2024,
    arXiv:2404.07724), v outside. The drift of the stochastic sampler is affine in the velocity, so
    guiding the velocity is equivalent to guiding the drift, as in REPA's sampler.

    Parameters
    ----------
    velocity, guide
        Velocity of the conditional generator, and of the guide.
    scale
        1 disables guidance: `velocity` is returned unchanged.
    interval
        (low, high), times within [0, 1]; the guide is not evaluated outside. None for all times, in
        any unit.

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
        return velocity

    def pushed(x: Tensor, time: Tensor) -> Tensor:
        within = inside(time, low, high)
        # Evaluated before the network runs, since on a GPU it synchronises.
        any_within = bool(within.any())
        own = velocity(x, time)
        if not any_within:
            return own
        away_from = guide(x, time)
        within = within.reshape(-1, *([1] * (x.ndim - 1)))
        return torch.where(within, away_from + scale * (own - away_from), own)

    return pushed


def inside(time: Tensor, low: float, high: float) -> Tensor:
    """Whether times [N] lie in the closed guidance interval: bool [N]."""
    return (time >= low) & (time <= high)
