"""The interface of generators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.transport.guidance import guided
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import Velocity


@dataclass(frozen=True)
class Condition:
    """Conditions of a batch of images.

    Attributes
    ----------
    perturbation, cell_type
        int64 [N], indices into the experiment's vocabularies.
    embedding
        float32 [N, d]: perturbation embeddings, see `morphpipe.perturbations.condition_table`; None
        if the generator learns a table. With embeddings, indices are ignored, so that perturbations
        outside the vocabulary are possible.
    batch
        int64 [N], indices of batches; None for none.
    """

    perturbation: Tensor
    cell_type: Tensor
    embedding: Tensor | None = None
    batch: Tensor | None = None

    def perturbation_input(self, *, embedded: bool) -> Tensor:
        """What a network gets of the perturbation: its embedding [N, d], or its index [N].

        Raises
        ------
        ConfigError
            If the network needs an embedding and there is none.
        """
        if not embedded:
            return self.perturbation
        if self.embedding is None:
            raise ConfigError(
                "This generator is conditioned on perturbation embeddings, but the batch has none: "
                "pass the table of conditions that it was trained with."
            )
        return self.embedding

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return type(self)(
            self.perturbation.to(device, non_blocking=True),
            self.cell_type.to(device, non_blocking=True),
            None if self.embedding is None else self.embedding.to(device, non_blocking=True),
            None if self.batch is None else self.batch.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class TrainingBatch:
    """All inputs of a training step, including random draws.

    The caller draws them, so that resumed training is reproducible.

    Attributes
    ----------
    latents
        float [N, C, h, w], data (t = 0).
    noise
        float [N, C, h, w], the other end of the path (t = 1): standard normal, or controls of the
        same batch, see `morphpipe.training.data`.
    time
        float [N], in [0, 1].
    condition
        Labels of the N latents.
    drop
        bool [N, 3]; where true, the perturbation (first column), the cell type (second) or the
        batch (third) is replaced by its null class.
    targets
        float [N, T, d], encoder tokens for alignment; None without alignment.
    step
        Number of steps before this one, for losses whose weights change in the training.
    """

    latents: Tensor
    noise: Tensor
    time: Tensor
    condition: Condition
    drop: Tensor
    targets: Tensor | None = None
    step: int = 0

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return type(self)(
            self.latents.to(device, non_blocking=True),
            self.noise.to(device, non_blocking=True),
            self.time.to(device, non_blocking=True),
            self.condition.to(device),
            self.drop.to(device, non_blocking=True),
            None if self.targets is None else self.targets.to(device, non_blocking=True),
            self.step,
        )


@dataclass(frozen=True)
class Losses:
    """Losses of one turn of a training step; `total` is minimised.

    Attributes
    ----------
    total
        Weighted sum of what follows: diffusion + weight * alignment, or a family's own parts.
    diffusion
        Mean squared error of the velocity or noise, over all elements; None where there is none.
    alignment
        Mean negative cosine over tokens, in [-1, 1]; None without alignment.
    parts
        A family's own losses by name, for the log: always the same names, not a number (NaN) where
        one has no value.
    """

    total: Tensor
    diffusion: Tensor | None = None
    alignment: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


ONLY = "all"
"""The turn of generators whose parameters are all trained together."""


class Generator(nn.Module):
    """Interface of all generator families.

    A family is a subclass in its own module, with a function `build` that creates it from its
    settings and a function `operations` that counts the operations of one pass; its settings are in
    `config.generators`, and `generators.registry` lists the module.

    Networks that are trained against each other take turns: a family of several overrides `turns`
    and `turn_losses` in place of `losses`.
    """

    def forward(self, batch: TrainingBatch, turn: str = ONLY) -> Losses:
        """Return `turn_losses`, so that a wrapper for several processes sees the whole step."""
        return self.turn_losses(batch, turn)

    def turns(self) -> Mapping[str, list[nn.Parameter]]:
        """Parameters by the turn in which they are trained; in every step, in this order.

        Each turn has an optimizer of its own, and each parameter one turn.
        """
        return {ONLY: list(self.parameters())}

    def turn_losses(self, batch: TrainingBatch, turn: str) -> Losses:
        """Compute the losses of a batch that the parameters of a turn minimise."""
        del turn
        return self.losses(batch)

    def losses(self, batch: TrainingBatch) -> Losses:
        """Compute the losses of a batch, of families of one turn."""
        raise NotImplementedError

    def predict(
        self, x: Tensor, time: Tensor, condition: Condition, *, null: bool = False
    ) -> Tensor:
        """Predict the velocity or noise at a state.

        Parameters
        ----------
        x
            float [N, C, h, w].
        time
            [N], in the family's unit.
        condition
            Conditions of the N images.
        null
            Replace the condition by its null class, for guidance.

        Returns
        -------
        Tensor
            [N, C, h, w].
        """
        raise NotImplementedError

    def solve(self, field: Velocity, noise: NoiseSource, settings: Sampling) -> Tensor:
        """Sample with a field of (guided) predictions."""
        raise NotImplementedError

    def solve_back(self, field: Velocity, data: Tensor, settings: Sampling) -> Tensor:
        """Find the noise from which `solve` leads to the data, by a field of predictions.

        Raises
        ------
        ConfigError
            If the family cannot, or not with these settings.
        """
        raise ConfigError(
            "This generator has no path from an image back to noise: train a flow or a diffusion, "
            "or a generator that starts from images of controls, to see the same cell treated."
        )

    def sample(
        self,
        noise: NoiseSource,
        condition: Condition,
        settings: Sampling,
        *,
        guide: "Generator | None" = None,
        half: bool = False,
    ) -> Tensor:
        """Sample a batch of conditions.

        Parameters
        ----------
        noise
            Noise, drawn per sample.
        condition
            Conditions of the N samples.
        settings
            Sampler, steps, guidance.
        guide
            Autoguidance: the same generator earlier in its training. None for classifier-free
            guidance, if any.
        half
            Run the network in bfloat16.

        Returns
        -------
        Tensor
            float32 [N, C, h, w].
        """
        guidance = settings.guidance
        pushed = guided(
            self._field(condition, half),
            self._field(condition, half, null=True)
            if guide is None
            else guide._field(condition, half),
            scale=guidance.scale,
            interval=(guidance.low, guidance.high) if guidance.limited else None,
        )
        with torch.inference_mode():
            return self.solve(pushed, noise, settings)

    def invert(
        self, data: Tensor, condition: Condition, settings: Sampling, *, half: bool = False
    ) -> Tensor:
        """Find the noise from which `sample` leads to the data, without guidance.

        Parameters
        ----------
        data
            float32 [N, C, h, w].
        condition
            Conditions of the N data.
        settings
            Sampler, which has to be the path's `reversible` one, and steps.
        half
            Run the network in bfloat16.

        Returns
        -------
        Tensor
            float32 [N, C, h, w].

        Raises
        ------
        ConfigError
            If the family cannot, or not with these settings.
        """
        with torch.inference_mode():
            return self.solve_back(self._field(condition, half), data, settings)

    def _field(self, condition: Condition, half: bool, *, null: bool = False) -> Velocity:
        """The predictions under a condition, or its null class."""
        device = condition.cell_type.device

        def field(x: Tensor, time: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                return self.predict(x, time, condition, null=null).float()

        return field

    def compile_blocks(self) -> None:
        """Compile the repeated blocks with torch.compile."""

    def save_diffusers(self, folder: str | Path) -> None:
        """Write the weights in diffusers' layout.

        Raises
        ------
        ConfigError
            If diffusers does not support the network.
        """
        raise ConfigError(
            "diffusers does not support this network: only a U-Net of Stable Diffusion can be "
            "written in its layout."
        )
