"""How a sampling setting of a flow is carried out, and gone back from data to noise."""

import torch

from morphpipe.config.sampling import FLOW, Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.transport.multistep import MULTISTEP, multistep
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import METHODS, Velocity, euler_maruyama, ode
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


def invert_flow(velocity: Velocity, data: torch.Tensor, settings: Sampling) -> torch.Tensor:
    """Follow a flow's ordinary differential equation from data to noise.

    The method and the times are those of `sample_flow`, in reverse order: from the noise that is
    found, `sample_flow` returns to the data but for the error of both ways, of the method's order
    in the length of a step. Of `heun` with `last_correction` only.

    Parameters
    ----------
    velocity
        Velocity of the generator, not guided.
    data
        [N, ...].
    settings
        Sampler, steps and grid.

    Returns
    -------
    torch.Tensor
        Noise [N, ...] in the precision of the data.

    Raises
    ------
    ConfigError
        If the sampler does not follow the ordinary differential equation by steps of its own.
    DataError
        If the noise is not finite.
    """
    sampler, steps = settings.sampler_for(FLOW), settings.steps_for(FLOW)
    if sampler not in METHODS:
        raise ConfigError(
            f"The sampler {sampler} cannot be gone back from data to noise: choose one of "
            f"{', '.join(METHODS)}."
        )

    # The samplers' times fall: at 1 - t the flow runs from data to noise.
    def backwards(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return -velocity(x, 1 - time)

    times = [1 - time for time in reversed(time_grid(settings, steps))]
    return ode(backwards, data, times, method=sampler, last_correction=settings.last_correction)
