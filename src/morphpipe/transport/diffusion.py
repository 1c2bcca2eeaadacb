"""Denoising diffusion with Stable Diffusion's schedule, sampled by diffusers' schedulers.

x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps at the timesteps t = 0 … T - 1 (Ho et al. 2020,
arXiv:2006.11239, equation 4); the network predicts eps. diffusers is imported lazily.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from morphpipe.core.errors import ConfigError
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import check_finite

SAMPLERS = ("ddpm", "ddim", "dpm++", "euler", "pndm")
"""Names of the samplers; the first is MorphoDiff's."""

NoisePrediction = Callable[[Tensor, Tensor], Tensor]
"""Maps a state [N, ...] and its timesteps [N] to its noise [N, ...]."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Noise schedule: betas whose square roots increase linearly ("scaled_linear").

    The defaults are those of Stable Diffusion v1-4 (its scheduler_config.json), which MorphoDiff
    trains and samples with.

    Attributes
    ----------
    timesteps
        T.
    beta_start, beta_end
        Variance added by the first and last timestep.
    """

    timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012

    @cached_property
    def abar(self) -> Tensor:
        """Fraction of data variance at each timestep, prod (1 - beta); float64 [T]."""
        start, end = self.beta_start**0.5, self.beta_end**0.5
        betas = torch.linspace(start, end, self.timesteps, dtype=torch.float64) ** 2
        return (1 - betas).cumprod(0)

    def timestep(self, time: Tensor) -> Tensor:
        """Timestep floor(T time) of a time in [0, 1], int64 [N]; time 1 gives the last one."""
        return (time * self.timesteps).long().clamp(0, self.timesteps - 1)

    def diffuse(self, data: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """State x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps, in the precision of the data.

        Parameters
        ----------
        data, noise
            [N, ...], of the same shape.
        timestep
            int64 [N], from 0 to T - 1.
        """
        abar = self.abar.to(timestep.device)[timestep]
        abar = abar.reshape(-1, *([1] * (data.ndim - 1)))
        return abar.sqrt().to(data.dtype) * data + (1 - abar).sqrt().to(data.dtype) * noise


STABLE_DIFFUSION = NoiseSchedule()


def ddpm_scheduler(schedule: NoiseSchedule = STABLE_DIFFUSION) -> Any:
    """Create diffusers' DDPMScheduler with MorphoDiff's sampling settings.

    Timesteps with "leading" spacing and an offset of 1, the posterior's variance ("fixed_small"),
    no clipping.
    """
    from diffusers import DDPMScheduler

    return DDPMScheduler(**_leading(schedule), variance_type="fixed_small", clip_sample=False)


@torch.no_grad()
def denoise(
    predict: NoisePrediction,
    noise: NoiseSource,
    *,
    sampler: str = "ddpm",
    steps: int = 50,
    schedule: NoiseSchedule = STABLE_DIFFUSION,
) -> Tensor:
    """Sample with one of diffusers' schedulers.

    "ddpm" is ancestral sampling as in `ddpm_scheduler` (MorphoDiff: 50 steps). diffusers'
    DDPMScheduler draws one noise tensor for the whole batch, so we use DDIMScheduler, which takes
    the noise as an argument and with eta = 1 is the same chain (Song et al. 2021, arXiv:2010.02502,
    equation 16). "ddim" is the same with eta = 0, "pndm" Stable Diffusion's scheduler; both with
    the spacing and offset of "ddpm", and ending at the data. "dpm++" (DPM-Solver++, second order)
    and "euler" have diffusers' default spacing, from timestep T - 1.

    The state is kept in double precision; inside a step, "dpm++" and "euler" compute in single
    precision, and diffusers' tables are in single precision for all of them. The prediction is
    evaluated in the precision of the noise.

    Parameters
    ----------
    predict
        Predicted noise; evaluated `steps` times ("pndm": once more). Timesteps are int64, or
        fractional float32 for "euler".
    noise
        Noise [N, ...] as a function of the step: 0 for the initial state, 1 to steps - 1 for the
        noise that "ddpm" adds after all steps but the last.
    sampler
        One of `SAMPLERS`.
    steps
        Number of steps, from 2 to T / 2.
    schedule
        The schedule that the network was trained with.

    Returns
    -------
    Tensor
        Samples [N, ...] in the precision of the noise.

    Raises
    ------
    ConfigError
        If the sampler is unknown or does not support the number of steps.
    DataError
        If the samples are not finite.
    """
    scheduler = _scheduler(sampler, steps, schedule)
    initial = noise(0)
    x = initial.double() * float(scheduler.init_noise_sigma)
    last = len(scheduler.timesteps)
    for step, timestep in enumerate(scheduler.timesteps, start=1):
        scaled = scheduler.scale_model_input(x, timestep).to(initial.dtype)
        predicted = predict(scaled, timestep.to(x.device).expand(len(x))).double()
        options: dict[str, Any] = {}
        if sampler == "ddpm" and step < last:
            # Drawn only now: on a GPU the network is still running.
            options = {"eta": 1.0, "variance_noise": noise(step).double()}
        x = scheduler.step(predicted, timestep, x, **options).prev_sample
    return check_finite(x).to(initial.dtype)


@torch.no_grad()
def invert(
    predict: NoisePrediction,
    data: Tensor,
    *,
    sampler: str = "ddim",
    steps: int = 50,
    iterations: int = 4,
    schedule: NoiseSchedule = STABLE_DIFFUSION,
) -> Tensor:
    """Find the noise from which `denoise` leads to the data; with "ddim" only.

    A step of it, x' from x and the noise predicted at x, is solved for x by fixed-point
    iteration from x' (Pan et al. 2023, arXiv:2309.04907; Garibi et al. 2024, arXiv:2403.14602).
    One iteration is the usual inversion (Song et al. 2021, arXiv:2010.02502), whose error is of
    first order in the length of a step; with more of them it goes to zero at any length.

    Parameters
    ----------
    predict
        Predicted noise, not guided; evaluated `steps` times `iterations` times.
    data
        [N, ...].
    sampler, steps
        Of `denoise`.
    iterations
        1 or more.
    schedule
        The schedule that the network was trained with.

    Returns
    -------
    Tensor
        Noise [N, ...] in the precision of the data.

    Raises
    ------
    ConfigError
        If the sampler is another one, or does not support the number of steps.
    DataError
        If the noise is not finite.
    """
    if sampler != "ddim":
        raise ConfigError(
            f"The sampler {sampler} cannot be gone back from data to noise: choose ddim."
        )
    scheduler = _scheduler(sampler, steps, schedule)
    x, before = data.double(), 1.0
    for timestep in reversed(scheduler.timesteps):
        share = float(schedule.abar[int(timestep)])
        kept = (share / before) ** 0.5
        added = (1 - share) ** 0.5 - kept * (1 - before) ** 0.5
        following = x
        for _ in range(iterations):
            at = timestep.to(x.device).expand(len(x))
            following = kept * x + added * predict(following.to(data.dtype), at).double()
        x, before = following, share
    return check_finite(x).to(data.dtype)


def _leading(schedule: NoiseSchedule) -> dict[str, Any]:
    """Settings of the schedule, with the timesteps of the published sampling."""
    return _shared(schedule) | {"timestep_spacing": "leading", "steps_offset": 1}


def _shared(schedule: NoiseSchedule) -> dict[str, Any]:
    return {
        "num_train_timesteps": schedule.timesteps,
        "beta_start": schedule.beta_start,
        "beta_end": schedule.beta_end,
        "beta_schedule": "scaled_linear",
        "prediction_type": "epsilon",
    }


def _scheduler(sampler: str, steps: int, schedule: NoiseSchedule) -> Any:
    if sampler not in SAMPLERS:
        raise ConfigError(
            f'Unknown sampler "{sampler}" of a diffusion: choose one of {", ".join(SAMPLERS)}.'
        )
    total = schedule.timesteps
    if not 2 <= steps <= total // 2:
        raise ConfigError(
            f"A diffusion of {total} timesteps is sampled in 2 to {total // 2} steps, not {steps}."
        )
    from diffusers import (
        DDIMScheduler,
        DPMSolverMultistepScheduler,
        EulerDiscreteScheduler,
        PNDMScheduler,
    )

    scheduler: Any
    if sampler == "dpm++":
        scheduler = DPMSolverMultistepScheduler(**_shared(schedule))
    elif sampler == "euler":
        scheduler = EulerDiscreteScheduler(**_shared(schedule))
    elif sampler == "pndm":
        scheduler = PNDMScheduler(**_leading(schedule), skip_prk_steps=True, set_alpha_to_one=True)
    else:
        scheduler = DDIMScheduler(**_leading(schedule), clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    first = int(scheduler.timesteps[0])
    if first <= total - 2 * (total // steps):
        # The spacing is rounded down: 300 steps would use every third timestep from 898.
        raise ConfigError(
            f"{steps} steps of the sampler {sampler} would start at timestep {first} of {total}, "
            f"where the state is not pure noise: choose a number of steps that divides {total}."
        )
    return scheduler
