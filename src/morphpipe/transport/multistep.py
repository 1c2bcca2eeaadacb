"""Sample flows with diffusers' multistep schedulers, DPM-Solver++ and UniPC.

Both are exact if the network predicts the same data at all times: they integrate the linear part of
the equation in closed form, and interpolate the predicted data x - t v in the log signal-to-noise
ratio log((1 - t) / t). diffusers is imported lazily.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morphpipe.core.errors import ConfigError
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import Velocity, check_finite, check_times

MULTISTEP = ("dpm++", "unipc")
"""Names of the samplers."""


@torch.no_grad()
def multistep(
    velocity: Velocity, noise: NoiseSource, times: Sequence[float], *, sampler: str
) -> Tensor:
    """Sample a flow with one of diffusers' schedulers at given times.

    "dpm++" is DPM-Solver++ (2M) (Lu et al. 2022, arXiv:2211.01095, algorithm 2), "unipc" UniPC of
    order 2 with B(h) = exp(h) - 1 (Zhao et al. 2023, arXiv:2302.04867), which corrects each state
    by the prediction of the next step. Both are of second order, except for the first and last
    steps. At t = 1 the logarithm is infinite: "dpm++" takes the limit, so its second step is of
    first order too; "unipc" starts from 1 - 1e-6.

    The state is in double precision, except for "dpm++", whose scheduler casts it to single
    precision in every step. The schedulers' times and coefficients are in single precision. The
    velocity is evaluated in the precision of the noise, at the exact times (diffusers' loop would
    round them to thousandths).

    Parameters
    ----------
    velocity
        Velocity of the generator; evaluated once per step.
    noise
        Noise [N, ...] as a function of the step; only step 0 is used.
    times
        From 1 to 0, see `morphpipe.transport.grids`.
    sampler
        One of `MULTISTEP`.

    Returns
    -------
    Tensor
        Samples [N, ...] in the precision of the noise.

    Raises
    ------
    ConfigError
        If the sampler is unknown, or the times do not decrease strictly to 0.
    DataError
        If the samples are not finite.
    """
    check_times(times)
    if times[-1] != 0:
        raise ConfigError(f"The sampler {sampler} ends at time 0, not at {times[-1]}.")
    scheduler = _scheduler(sampler, times)
    initial = noise(0)
    x = initial.double()
    for time, timestep in zip(times, scheduler.timesteps, strict=False):
        at = torch.full((len(x),), time, dtype=initial.dtype, device=x.device)
        v = velocity(x.to(initial.dtype), at).double()
        x = scheduler.step(v, timestep, x).prev_sample
    return check_finite(x).to(initial.dtype)


def _scheduler(sampler: str, times: Sequence[float]) -> Any:
    if sampler not in MULTISTEP:
        raise ConfigError(
            f'Unknown sampler "{sampler}" of a flow: choose one of {", ".join(MULTISTEP)}.'
        )
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    shared = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "solver_order": 2}
    scheduler: Any
    if sampler == "unipc":
        scheduler = UniPCMultistepScheduler(**shared)
        # It appends the 0 itself.
        scheduler.set_timesteps(sigmas=np.array(times[:-1], np.float64))
    else:
        scheduler = DPMSolverMultistepScheduler(**shared)
        scheduler.set_timesteps(len(times) - 1)
        # Has no argument for times; for a flow, its sigmas are the times.
        scheduler.sigmas = torch.tensor(times, dtype=torch.float32)
    # Otherwise it looks up timesteps in thousandths, which may be ambiguous.
    scheduler.set_begin_index(0)
    return scheduler
