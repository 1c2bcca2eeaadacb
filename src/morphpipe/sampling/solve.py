"""How a sampling setting is carried out: the times, the solver, and what it costs."""

import torch

from morphpipe.config.sampling import SHIFT, Sampling, is_flow
from morphpipe.transport.grids import edm_grid, shifted_grid, stochastic_times, uniform_grid
from morphpipe.transport.guidance import inside
from morphpipe.transport.multistep import MULTISTEP, multistep
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import Velocity, euler_maruyama, ode


def time_grid(settings: Sampling) -> list[float]:
    """Times of the steps of a flow's ODE: steps + 1 of them, from 1 (noise) to 0 (data)."""
    if settings.grid == "shifted":
        return shifted_grid(settings.steps, SHIFT if settings.shift is None else settings.shift)
    if settings.grid == "edm":
        return edm_grid(settings.steps)
    return uniform_grid(settings.steps)


def sample_flow(
    velocity: Velocity, noise: NoiseSource, settings: Sampling, sampler: str
) -> torch.Tensor:
    """Sample a flow with one of `config.sampling.FLOW_SAMPLERS`.

    Returns
    -------
    torch.Tensor
        Samples [N, ...] in the precision of the noise.
    """
    if sampler == "euler-maruyama":
        return euler_maruyama(velocity, noise, steps=settings.steps)
    times = time_grid(settings)
    if sampler in MULTISTEP:
        return multistep(velocity, noise, times, sampler=sampler)
    return ode(velocity, noise, times, method=sampler, last_correction=settings.last_correction)


def evaluations(settings: Sampling, kind: str) -> int:
    """Count how often a network is evaluated for one image.

    Once a step; by heun twice (but for the last step without `last_correction`), by pndm once
    more. The guide's evaluations count like the generator's own: inside the interval of guidance
    everything counts double.

    Parameters
    ----------
    settings
        What is sampled, and how.
    kind
        Of the generator.
    """
    sampler, guidance = settings.sampler_for(kind), settings.guidance
    if not is_flow(kind):
        own = settings.steps + (sampler == "pndm")
        return own * (1 if guidance.scale == 1 else 2)
    if sampler == "euler-maruyama":
        times = stochastic_times(settings.steps)
    else:
        _, *ends = grid = time_grid(settings)
        times = grid[:-1]
        if sampler == "heun":
            times += ends if settings.last_correction else ends[:-1]
    if guidance.scale == 1:
        return len(times)
    # In the precision in which the network is given them.
    guided = inside(torch.tensor(times, dtype=torch.float32), guidance.low, guidance.high)
    return len(times) + int(guided.sum())
