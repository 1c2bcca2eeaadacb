"""Exponential moving average of weights."""

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """A running average of a module's parameters, kept in float32.

    Parameters
    ----------
    module
        Whose parameters to follow.
    decay
        Share of the old average that is kept at every update.
    warmup
        Cap the decay at (1 + n) / (10 + n) at update n, so that a short training forgets its
        beginning (as in MorphoDiff's released code).
    """

    def __init__(self, module: nn.Module, decay: float, *, warmup: bool = False) -> None:
        self.decay = decay
        self.warmup = warmup
        self._names = [name for name, _ in module.named_parameters()]
        self._averages = [p.detach().float().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module, updates: int) -> None:
        """Move the averages towards the module's parameters.

        Parameters
        ----------
        module
            With the parameters it had at the beginning.
        updates
            How many updates there have been before this one.
        """
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + updates) / (10 + updates))
        # One fused pass over all tensors; a loop over tensors takes about twice as long.
        parameters = [p.detach().float() for p in module.parameters()]
        torch._foreach_lerp_(self._averages, parameters, 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Put the averages in the place of a module's parameters."""
        for parameter, average in zip(module.parameters(), self._averages, strict=True):
            parameter.copy_(average)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(zip(self._names, self._averages, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over averages made by `state_dict`."""
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(state[name])
