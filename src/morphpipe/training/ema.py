"""Moving average of weights."""

import numpy as np
import torch
from torch import Tensor, nn


def power_of(deviation: float) -> float:
    """Exponent of the power-function average with a relative standard deviation.

    Karras et al. 2024 (arXiv:2312.02696), equation 123: the positive root of a cubic.
    """
    inverse = deviation**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return float(roots.real.max())


class ExponentialMovingAverage:
    """Moving average of a module's parameters, in float32; exponential unless `deviation` is given.

    Parameters
    ----------
    module
        Module to average.
    decay
        Weight of the old average per update.
    warmup
        Cap the decay at (1 + n) / (10 + n) at update n, so that short trainings forget their start
        (as in MorphoDiff's released code).
    deviation
        Average with weights that grow as a power of the update instead, so that a longer training
        averages over more of it: their standard deviation relative to the number of updates. None
        for the exponential average.
    """

    def __init__(
        self,
        module: nn.Module,
        decay: float,
        *,
        warmup: bool = False,
        deviation: float | None = None,
    ) -> None:
        self.decay = decay
        self.warmup = warmup
        self.power = None if deviation is None else power_of(deviation)
        self._names = [name for name, _ in module.named_parameters()]
        self._averages = [p.detach().float().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module, updates: int) -> None:
        """Update the averages with the module's parameters, after `updates` earlier updates."""
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + updates) / (10 + updates))
        if self.power is not None:
            decay = (updates / (updates + 1)) ** (self.power + 1)
        # One fused pass over all tensors is about twice as fast as a loop.
        parameters = [p.detach().float() for p in module.parameters()]
        torch._foreach_lerp_(self._averages, parameters, 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Copy the averages into a module."""
        for parameter, average in zip(module.parameters(), self._averages, strict=True):
            parameter.copy_(average)

    def state_dict(self) -> dict[str, Tensor]:
        """Averages by parameter name."""
        return dict(zip(self._names, self._averages, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore averages from `state_dict`."""
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(state[name])
