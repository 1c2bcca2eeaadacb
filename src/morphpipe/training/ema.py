"""Exponential moving average of weights."""

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Exponential moving average of a module's parameters, in float32.

    Parameters
    ----------
    module
        Module to average.
    decay
        Weight of the old average per update.
    warmup
        Cap the decay at (1 + n) / (10 + n) at update n, so that short trainings forget their start
        (as in MorphoDiff's released code).
    """

    def __init__(self, module: nn.Module, decay: float, *, warmup: bool = False) -> None:
        self.decay = decay
        self.warmup = warmup
        self._names = [name for name, _ in module.named_parameters()]
        self._averages = [p.detach().float().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module, updates: int) -> None:
        """Update the averages with the module's parameters, after `updates` earlier updates."""
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + updates) / (10 + updates))
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
