"""Turns of a training step: which parameters are trained by which optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from morphpipe.config.experiments import Training
from morphpipe.generators.base import Generator, Losses

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
"""By `training.optimizer`."""


@dataclass(frozen=True)
class Turn:
    """A turn of every training step.

    Attributes
    ----------
    name
        See `morphpipe.generators.base.Generator.turns`.
    parameters
        What is trained in it.
    others
        What is trained in the other turns.
    optimizer
        Of the parameters.
    """

    name: str
    parameters: list[nn.Parameter]
    others: list[nn.Parameter]
    optimizer: torch.optim.Optimizer

    def begin(self) -> None:
        """Let gradients reach the parameters of this turn alone."""
        # With a single turn, what a family has frozen stays so.
        if self.others:
            for parameter in self.parameters:
                parameter.requires_grad_(True)
            for parameter in self.others:
                parameter.requires_grad_(False)


def turns_of(generator: Generator, training: Training) -> list[Turn]:
    """The turns of a generator, with fresh optimizers."""
    found = generator.turns()
    return [
        Turn(
            name,
            parameters,
            [p for other, others in found.items() if other != name for p in others],
            OPTIMIZERS[training.optimizer](
                parameters,
                lr=training.learning_rate,
                betas=training.betas,
                weight_decay=training.weight_decay,
                fused=True,
            ),
        )
        for name, parameters in found.items()
    ]


def joined(losses: Sequence[Losses]) -> Losses:
    """Losses of the turns of a step as one: the sum of their totals, and all of their parts."""
    first, *others = losses
    if not others:
        return first
    parts = {name: part for each in losses for name, part in each.parts.items()}
    total = torch.stack([each.total.detach().float() for each in losses]).sum()
    return Losses(total, first.diffusion, first.alignment, parts)


def joint_norm(norms: Sequence[Tensor]) -> Tensor:
    """Norm of the gradients of all turns, from that of each."""
    first, *others = norms
    return torch.linalg.vector_norm(torch.stack([first, *others])) if others else first
