"""SiT: the scalable interpolant transformer, conditioned on perturbation, cell type and time.

A transformer on patches of a latent whose every block is modulated by the condition (adaLN-Zero),
as in DiT (Peebles and Xie 2023, arXiv:2212.09748) and SiT (Ma et al. 2024, arXiv:2401.08740).
MorphGen's condition is the sum c = e_perturbation + e_celltype + e_t.
"""

from dataclasses import asdict
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from morphpipe.config.sit_presets import PRESETS
from morphpipe.core.errors import ConfigError
from morphpipe.generators.alignment import Projector
from morphpipe.generators.layers import (
    Block,
    EmbeddingProjection,
    FinalLayer,
    LabelTable,
    TimeEmbedding,
    patchify,
    unpatchify,
)
from morphpipe.imaging.positions import grid_positions


class SiT(nn.Module):
    """Predicts the velocity of latents from their state, the time and the two labels.

    Each label has a null class, learnt where labels are dropped and used by guidance.

    Parameters
    ----------
    latent_channels
        Channels of the latent; 24 for six stains encoded one by one with four channels each.
    latent_size
        Height and width of the latent, or one number for both; multiples of `patch`.
    perturbations, cell_types
        Number of classes, without the null class.
    condition_width
        Width of the perturbations' embeddings, which then take the place of a learnt table of
        labels; None: the table, as in MorphGen.
    width, depth, heads, patch
        Size of the transformer, see `morphpipe.config.sit_presets`.
    alignment_width
        Width of the encoder's tokens that hidden tokens are aligned with; None: no projector.
    alignment_depth
        Number of blocks after which the hidden tokens are taken; 8 in REPA and MorphGen.
    projector_width
        Hidden width of the projector; 2048 in REPA's code.
    gradient_checkpointing
        Recompute blocks in the backward pass: less memory, about a third more time.
    time_scale
        Factor on the time before its sines and cosines; 1 in SiT and REPA.
    normalise_labels
        Divide the sum of the two labels' vectors by the square root of 2.

    Raises
    ------
    ConfigError
        If the sizes do not fit together.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        latent_channels: int,
        latent_size: int | tuple[int, int],
        perturbations: int,
        cell_types: int,
        width: int,
        depth: int,
        heads: int,
        patch: int = 2,
        condition_width: int | None = None,
        alignment_width: int | None = None,
        alignment_depth: int | None = None,
        projector_width: int = 2048,
        gradient_checkpointing: bool = False,
        time_scale: float = 1.0,
        normalise_labels: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(latent_size, int):
            latent_size = (latent_size, latent_size)
        if latent_size[0] % patch or latent_size[1] % patch:
            raise ConfigError(
                f"A latent of {latent_size[0]}x{latent_size[1]} cannot be cut into patches of "
                f"{patch}x{patch}: choose an image size that is a multiple of the codec's "
                "reduction times the patch."
            )
        if width % heads or width % 4:
            raise ConfigError(
                f"The width {width} of SiT must be a multiple of 4 and of its {heads} heads."
            )
        if alignment_width is not None:
            alignment_depth = 8 if alignment_depth is None else alignment_depth
            if not 1 <= alignment_depth <= depth:
                raise ConfigError(
                    f"Alignment after block {alignment_depth} needs that many blocks, but this "
                    f"SiT has {depth}: set the alignment depth to between 1 and {depth}."
                )
        self.latent_channels = latent_channels
        self.latent_size = latent_size
        self.patch = patch
        self.alignment_depth = alignment_depth
        self.gradient_checkpointing = gradient_checkpointing
        self.label_scale = 0.5**0.5 if normalise_labels else 1.0

        self.patches = nn.Linear(patch * patch * latent_channels, width)
        self.time = TimeEmbedding(width, scale=time_scale)
        self.perturbation: LabelTable | EmbeddingProjection = (
            LabelTable(perturbations, width)
            if condition_width is None
            else EmbeddingProjection(condition_width, width)
        )
        self.cell_type = LabelTable(cell_types, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final = FinalLayer(width, patch * patch * latent_channels)
        self.projector: Projector | None = None
        if alignment_width is not None:
            self.projector = Projector(width, alignment_width, hidden_width=projector_width)
        positions = grid_positions(self.token_grid, width, rows_first=False)
        self.register_buffer("positions", positions, persistent=False)
        self.initialise()

    @classmethod
    def from_preset(
        cls,
        name: str,
        *,
        latent_channels: int,
        latent_size: int | tuple[int, int],
        perturbations: int,
        cell_types: int,
        **options: Any,
    ) -> Self:
        """Build a named size of `morphpipe.config.sit_presets`; `options` are those of the class.

        Raises
        ------
        ConfigError
            If there is no preset of that name, or the sizes do not fit together.
        """
        if name not in PRESETS:
            raise ConfigError(
                f'There is no generator preset "{name}": choose one of {", ".join(PRESETS)}.'
            )
        return cls(
            latent_channels=latent_channels,
            latent_size=latent_size,
            perturbations=perturbations,
            cell_types=cell_types,
            **asdict(PRESETS[name]),
            **options,
        )

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.latent_size[0] // self.patch, self.latent_size[1] // self.patch

    @property
    def repeated(self) -> list[nn.Module]:
        """The modules that the network consists of, to be compiled one by one."""
        return list(self.blocks)

    def initialise(self) -> None:
        """Initialise as DiT, SiT and REPA's code do, so that every block starts as the identity.

        Xavier-uniform linear layers without bias; label tables and the time's perceptron from
        N(0, 0.02^2); modulations and the final layer zero.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time.first, self.time.second):
            nn.init.normal_(layer.weight, std=0.02)
        for table in self.modules():
            if isinstance(table, LabelTable):
                nn.init.normal_(table.weight, std=0.02)
        for modulated in (*self.blocks, self.final):
            nn.init.zeros_(modulated.modulation.weight)
        nn.init.zeros_(self.final.linear.weight)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None = None,
    ) -> Tensor:
        """Velocity at a state.

        Parameters
        ----------
        x
            float [N, C, h, w].
        time
            float [N], 1 is noise and 0 data.
        perturbation
            int64 [N], or the embeddings, float [N, d].
        cell_type
            int64 [N].
        drop
            bool [N, 2]; where true, the perturbation (first column) or the cell type (second) is
            replaced by its null class. Drawn by the caller, so that resumed training repeats
            itself.

        Returns
        -------
        Tensor
            [N, C, h, w].
        """
        return self.forward_with_hidden(x, time, perturbation, cell_type, drop)[0]

    def forward_with_hidden(
        self,
        x: Tensor,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None = None,
        *,
        depth: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Velocity, and the hidden tokens [N, T, width] after `depth` blocks.

        `depth` is the alignment depth unless given, and all blocks without either. The other
        parameters are those of `forward`.
        """
        if x.shape[1:] != (self.latent_channels, *self.latent_size):
            raise ConfigError(
                f"This SiT was built for latents of {self.latent_channels} channels and "
                f"{self.latent_size[0]}x{self.latent_size[1]}, not {tuple(x.shape[1:])}."
            )
        depth = depth or self.alignment_depth or len(self.blocks)
        dropped = (None, None) if drop is None else drop.unbind(1)
        labels = self.perturbation(perturbation, dropped[0]) + self.cell_type(cell_type, dropped[1])
        condition = self.time(time) + self.label_scale * labels
        condition = F.silu(condition)  # every modulation begins with it
        tokens = self.patches(patchify(x, self.patch)) + self.positions
        hidden = tokens
        for number, block in enumerate(self.blocks, start=1):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, condition, use_reentrant=False)
            else:
                tokens = block(tokens, condition)
            if number == depth:
                hidden = tokens
        velocity = unpatchify(self.final(tokens, condition), self.patch, self.latent_size)
        return velocity, hidden
