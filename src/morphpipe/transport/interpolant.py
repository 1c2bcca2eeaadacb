"""The linear path between data and noise.

x_t = (1 - t) x + t eps with eps from a standard normal distribution: t = 0 is data and t = 1 is
noise, as in SiT's paper (Ma et al. 2024, arXiv:2401.08740; its released code reverses time) and in
REPA (Yu et al. 2024, arXiv:2410.06940).
"""

import numpy as np
from torch import Tensor


def draw_time(random: np.random.Generator, sampling: str = "uniform") -> float:
    """Draw one training time in [0, 1), in single precision.

    Parameters
    ----------
    random
        Random generator, of which one number is used.
    sampling
        "uniform", as in SiT and REPA, or "logit-normal": 1 / (1 + exp(-u)) of a standard normal u
        (Esser et al. 2024, arXiv:2403.03206, equation 19 with m = 0 and s = 1), which has more
        times in the middle, where the velocity is hardest to predict, or "near-data":
        1 / (1 + exp(1.2 - 1.2 u)), at most 0.9999 (CellFlux's code, which counts time the other way
        round).
    """
    if sampling == "near-data":
        near = 1 / (1 + np.exp(1.2 - 1.2 * random.standard_normal(dtype=np.float32)))
        return float(min(near, 1 - 1e-4))
    if sampling == "logit-normal":
        return float(1 / (1 + np.exp(-random.standard_normal(dtype=np.float32))))
    return float(random.random(dtype=np.float32))


def interpolate(data: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """Point x_t = (1 - t) x + t eps of the path.

    Parameters
    ----------
    data, noise
        [N, ...], of the same shape.
    time
        [N], in [0, 1].
    """
    time = _per_sample(time, data)
    return (1 - time) * data + time * noise


def velocity_target(data: Tensor, noise: Tensor) -> Tensor:
    """Velocity of the path, dx_t / dt = eps - x: the target of the network."""
    return noise - data


def score_from_velocity(x: Tensor, velocity: Tensor, time: Tensor) -> Tensor:
    """Score of the density at time t, from the expected velocity.

    With v = E[eps - x | x_t] and x_t = (1 - t) x + t eps, E[eps | x_t] = x_t + (1 - t) v, and the
    score is -E[eps | x_t] / t (Tweedie), so that s = ((t - 1) v - x_t) / t.

    Parameters
    ----------
    x, velocity
        [N, ...].
    time
        [N], in (0, 1].
    """
    time = _per_sample(time, x)
    return ((time - 1) * velocity - x) / time


def _per_sample(time: Tensor, like: Tensor) -> Tensor:
    """Reshape a time of shape [N] so that it broadcasts against [N, ...]."""
    return time.reshape(-1, *([1] * (like.ndim - 1)))
