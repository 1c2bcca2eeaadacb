"""What every generator takes and answers.

A generator is a torch module. `forward(batch)` is its loss, so that it can be wrapped for several
processes as it is; samplers in `morphpipe.transport` ask for its velocity, or for the noise that it
predicts.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


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
