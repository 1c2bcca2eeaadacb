"""Generators of flows: a network that predicts the velocity, and its loss.

MorphGen is a SiT on latents of all channels, aligned with an encoder of cell images (section 3 of
its paper); the loss is REPA's: the velocity's squared error plus a weight times the alignment.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphpipe.core.errors import ConfigError
from morphpipe.generators.alignment import alignment_loss
from morphpipe.generators.base import Condition, Losses, TrainingBatch
from morphpipe.generators.flow_unet import FlowUNet
from morphpipe.generators.layers import LabelTable
from morphpipe.generators.sit import SiT
from morphpipe.transport.interpolant import interpolate, velocity_target


class FlowGenerator(nn.Module):
    """A network that predicts velocities, with its loss.

    Parameters
    ----------
    network
        With a projector where it is to be aligned.
    alignment_weight
        Weight of the alignment; 0.5 in MorphGen and REPA.
    """

    def __init__(self, network: SiT | FlowUNet, *, alignment_weight: float = 0.5) -> None:
        super().__init__()
        self.network = network
        self.alignment_weight = alignment_weight

    def compile_blocks(self) -> None:
        """Compile the blocks with torch.compile; equal ones share what is compiled."""
        for block in self.network.repeated:
            # Of fixed shapes: inductor fails on a network whose blocks see several grids otherwise.
            block.compile(dynamic=False)

    def forward(self, batch: TrainingBatch) -> Losses:
        """Give the loss, so that a wrapper for several processes sees the whole step."""
        return self.loss(batch)

    def loss(self, batch: TrainingBatch) -> Losses:
        """Squared error of the velocity, and the alignment where the network has a projector.

        Raises
        ------
        ConfigError
            If the batch has alignment targets and the network no projector, or the reverse.
        DataError
            If the targets are not of the shape of the projected tokens.
        """
        projector = self.network.projector
        if (projector is None) != (batch.targets is None):
            raise ConfigError(
                "Alignment needs both a generator with a projector and targets in the batch; "
                "only one of the two is there: set the alignment in the configuration, or leave "
                "it out of it altogether."
            )
        velocity, hidden = self.network.forward_with_hidden(
            interpolate(batch.latents, batch.noise, batch.time),
            batch.time,
            self._perturbation(batch.condition),
            batch.condition.cell_type,
            batch.drop,
        )
        target = velocity_target(batch.latents, batch.noise)
        diffusion = F.mse_loss(velocity.float(), target.float())
        if projector is None or batch.targets is None:
            return Losses(diffusion, diffusion, None)
        alignment = alignment_loss(projector(hidden), batch.targets)
        return Losses(diffusion + self.alignment_weight * alignment, diffusion, alignment)

    def velocity(
        self, x: Tensor, time: Tensor, condition: Condition, *, null: bool = False
    ) -> Tensor:
        """Velocity [N, C, h, w] at the state x and time [N]; `null` ignores the condition."""
        drop = torch.ones(len(x), 2, dtype=torch.bool, device=x.device) if null else None
        return self.network(x, time, self._perturbation(condition), condition.cell_type, drop)

    def _perturbation(self, condition: Condition) -> Tensor:
        """The labels, or the embeddings where the network takes those."""
        if isinstance(self.network.perturbation, LabelTable):
            return condition.perturbation
        if condition.embedding is None:
            raise ConfigError(
                "This generator is conditioned on embeddings of the perturbations, and the batch "
                "has none: give the table of conditions that it was trained with."
            )
        return condition.embedding
