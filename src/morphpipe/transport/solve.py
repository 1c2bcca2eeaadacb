"""How a sampling setting of a flow is carried out."""

import torch

from morphpipe.config.sampling import FLOW, Sampling
from morphpipe.transport.multistep import MULTISTEP, multistep
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import Velocity, euler_maruyama, ode
from morphpipe.transport.times import time_grid


def sample_flow(velocity: Velocity, noise: NoiseSource, settings: Sampling) -> torch.Tensor:
    """Sample a flow with one of `config.sampling.FLOW_SAMPLERS`.

    Returns
    -------
    torch.Tensor
        Samples [N, ...] in the precision of the noise.
    """
    sampler, steps = settings.sampler_for(FLOW), settings.steps_for(FLOW)
    if sampler == "euler-maruyama":
        return euler_maruyama(velocity, noise, steps=steps)
    times = time_grid(settings, steps)
    if sampler in MULTISTEP:
        return multistep(velocity, noise, times, sampler=sampler)
    return ode(velocity, noise, times, method=sampler, last_correction=settings.last_correction)
