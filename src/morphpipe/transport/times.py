"""At which times a flow is evaluated, and how often that is; readable without torch."""

import numpy as np

from morphpipe.config.sampling import SHIFT, Path, Sampling
from morphpipe.transport.grids import edm_grid, shifted_grid, stochastic_times, uniform_grid


def time_grid(settings: Sampling, steps: int) -> list[float]:
    """Times of the steps of a flow's ODE: steps + 1 of them, from 1 (noise) to 0 (data)."""
    if settings.grid == "shifted":
        return shifted_grid(steps, SHIFT if settings.shift is None else settings.shift)
    if settings.grid == "edm":
        return edm_grid(steps)
    return uniform_grid(steps)


def evaluations(settings: Sampling, path: Path) -> int:
    """Count how often a network is evaluated for one image.

    Once a step; by heun twice (but for the last step, unless `last_correction`), by pndm once
    more; once in all where there are no steps. The guide's evaluations count like the generator's
    own: inside the interval of guidance everything counts double.

    Parameters
    ----------
    settings
        What is sampled, and how.
    path
        Of the generator.
    """
    sampler, steps = settings.sampler_for(path), settings.steps_for(path)
    guidance = settings.guidance
    if not path.continuous:
        own = steps + (sampler == "pndm")
        return own * (1 if guidance.scale == 1 else 2)
    if sampler == "euler-maruyama":
        times = stochastic_times(steps)
    else:
        _, *ends = grid = time_grid(settings, steps)
        times = grid[:-1]
        if sampler == "heun":
            times += ends if settings.last_correction else ends[:-1]
    if guidance.scale == 1:
        return len(times)
    # In the precision in which the network is given them.
    given = np.asarray(times, np.float32)
    return len(times) + int(((given >= guidance.low) & (given <= guidance.high)).sum())
