"""What every generator takes and answers."""

from dataclasses import dataclass
from functools import partial
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
    """What the images of a batch are of.

    Attributes
    ----------
    perturbation, cell_type
        int64 [N], indices into the experiment's vocabularies.
    embedding
        float32 [N, d]: what is known of the perturbations, see
        `morphpipe.perturbations.condition_table`; None where the generator learns a table of its
        own. A perturbation that the vocabulary does not know has an embedding all the same, and
        an index that is not looked at.
    """

    perturbation: Tensor
    cell_type: Tensor
    embedding: Tensor | None = None

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return type(self)(
            self.perturbation.to(device, non_blocking=True),
            self.cell_type.to(device, non_blocking=True),
            None if self.embedding is None else self.embedding.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class TrainingBatch:
    """All that a training step depends on: a generator draws nothing itself.

    The caller draws noise, times and dropped labels, so that training that is resumed repeats
    what training left alone would have done.

    Attributes
    ----------
    latents
        float [N, C, h, w], data (t = 0).
    noise
        float [N, C, h, w], standard normal (t = 1).
    time
        float [N], in [0, 1].
    condition
        Labels of the N latents.
    drop
        bool [N, 2]; where true, the perturbation (first column) or the cell type (second) is
        replaced by its null class.
    targets
        float [N, T, d], tokens of the encoder that the hidden tokens are aligned with; None where
        the generator is trained without alignment.
    """

    latents: Tensor
    noise: Tensor
    time: Tensor
    condition: Condition
    drop: Tensor
    targets: Tensor | None = None

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return type(self)(
            self.latents.to(device, non_blocking=True),
            self.noise.to(device, non_blocking=True),
            self.time.to(device, non_blocking=True),
            self.condition.to(device),
            self.drop.to(device, non_blocking=True),
            None if self.targets is None else self.targets.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class Losses:
    """Scalars of one training step; `total` is what is minimised.

    Attributes
    ----------
    total
        diffusion + weight * alignment.
    diffusion
        Mean squared error of the velocity or of the noise, over all elements.
    alignment
        Mean negative cosine over tokens, in [-1, 1]; None without alignment.
    """

    total: Tensor
    diffusion: Tensor
    alignment: Tensor | None


class Generator(nn.Module):
    """A generator as training, sampling, the report and exports see it, whatever its family.

    A family is a subclass in a module of its own, with a function `build` that makes one from its
    settings and a function `operations` that counts what one pass takes; its settings stand in
    `config.generators`, and `generators.registry` names the module.
    """

    def forward(self, batch: TrainingBatch) -> Losses:
        """Give the losses, so that a wrapper for several processes sees the whole step."""
        return self.losses(batch)

    def losses(self, batch: TrainingBatch) -> Losses:
        """What training minimises, of one batch."""
        raise NotImplementedError

    def predict(
        self, x: Tensor, time: Tensor, condition: Condition, *, null: bool = False
    ) -> Tensor:
        """What the network predicts at a state: a velocity, or the noise.

        Parameters
        ----------
        x
            float [N, C, h, w].
        time
            [N], in the family's own unit.
        condition
            Of the N images.
        null
            Whether the condition is replaced by its null class, as guidance needs it.

        Returns
        -------
        Tensor
            [N, C, h, w].
        """
        raise NotImplementedError

    def solve(self, field: Velocity, noise: NoiseSource, settings: Sampling) -> Tensor:
        """Sample along a field of predictions, which is guided already."""
        raise NotImplementedError

    def sample(
        self,
        noise: NoiseSource,
        condition: Condition,
        settings: Sampling,
        *,
        guide: "Generator | None" = None,
        half: bool = False,
    ) -> Tensor:
        """Samples of a batch of conditions.

        Parameters
        ----------
        noise
            Drawn for each sample by itself.
        condition
            Of the N samples.
        settings
            Sampler, steps, guidance.
        guide
            Autoguidance: the same generator earlier in its training. None: where there is
            guidance, it is classifier-free.
        half
            Whether the network runs in bfloat16.

        Returns
        -------
        Tensor
            float32 [N, C, h, w].
        """
        device = condition.cell_type.device

        def field(x: Tensor, time: Tensor, *, of: Generator, null: bool = False) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                return of.predict(x, time, condition, null=null).float()

        guidance = settings.guidance
        pushed = guided(
            partial(field, of=self),
            partial(field, of=self, null=True) if guide is None else partial(field, of=guide),
            scale=guidance.scale,
            interval=(guidance.low, guidance.high) if guidance.limited else None,
        )
        with torch.inference_mode():
            return self.solve(pushed, noise, settings)

    def compile_blocks(self) -> None:
        """Compile what repeats with torch.compile."""

    def save_diffusers(self, folder: str | Path) -> None:
        """Write the weights in diffusers' layout.

        Raises
        ------
        ConfigError
            When diffusers does not know the network.
        """
        raise ConfigError(
            "diffusers does not know this network: only a U-Net of Stable Diffusion can be written "
            "in its layout."
        )
