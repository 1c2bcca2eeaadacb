"""SiT: the scalable interpolant transformer, conditioned on perturbation, cell type and time.

A transformer on patches of a latent with modulation of every block by the condition (adaLN-Zero),
as in DiT (Peebles and Xie 2023, arXiv:2212.09748) and SiT (Ma et al. 2024, arXiv:2401.08740).
MorphGen's condition is the sum c = e_perturbation + e_celltype + e_t.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from morphpipe.config.generators import SiT as Settings
from morphpipe.config.sit_presets import PRESETS
from morphpipe.core.errors import ConfigError
from morphpipe.generators.alignment import Projector
from morphpipe.generators.flow import FlowGenerator, FlowNetwork, build_flow
from morphpipe.generators.layers import Block, FinalLayer, LabelTable, patchify, unpatchify
from morphpipe.imaging.positions import grid_positions
from morphpipe.perturbations.vocabulary import Vocabulary


class SiT(FlowNetwork):
    """A transformer on patches, see `FlowNetwork`.

    Parameters
    ----------
    latent_channels, latent_size, gradient_checkpointing
        See `FlowNetwork`; sizes that are no multiple of `patch` are extended by their last row or
        column.
    time_scale, conditioning
        See `FlowNetwork.embed_conditions`.
    width, depth, heads, patch
        Size of the transformer, see `morphpipe.config.sit_presets`.
    alignment_width
        Width of the tokens that hidden tokens are aligned with; None for no projector.
    alignment_depth
        Number of blocks before the aligned hidden tokens; 8 in REPA and MorphGen.
    projector_width
        Hidden width of the projector; 2048 in REPA's code.

    Raises
    ------
    ConfigError
        If the sizes do not fit together.
    """

    presets = PRESETS
    positions: Tensor

    def __init__(
        self,
        *,
        latent_channels: int,
        latent_size: int | tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        patch: int = 2,
        alignment_width: int | None = None,
        alignment_depth: int | None = None,
        projector_width: int = 2048,
        gradient_checkpointing: bool = False,
        time_scale: float = 1.0,
        **conditioning: Any,
    ) -> None:
        if width % heads or width % 4:
            raise ConfigError(
                f"The width {width} of SiT must be a multiple of 4 and of its {heads} heads."
            )
        super().__init__(
            latent_channels, latent_size, gradient_checkpointing=gradient_checkpointing
        )
        if alignment_width is not None and any(side % patch for side in self.latent_size):
            raise ConfigError(
                f"A latent of {self.latent_size[0]}x{self.latent_size[1]} cannot be split into "
                f"patches of {patch}x{patch}, so that its tokens cannot be aligned: choose an "
                "image size that is a multiple of the autoencoder's reduction times the patch, or "
                "no alignment."
            )
        if alignment_width is not None:
            alignment_depth = 8 if alignment_depth is None else alignment_depth
            if not 1 <= alignment_depth <= depth:
                raise ConfigError(
                    f"Alignment after block {alignment_depth} needs that many blocks, but this "
                    f"SiT has {depth}: set the alignment depth to between 1 and {depth}."
                )
        self.patch = patch
        self.alignment_depth = alignment_depth
        self.patches = nn.Linear(patch * patch * latent_channels, width)
        self.embed_conditions(width, time_scale=time_scale, **conditioning)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final = FinalLayer(width, patch * patch * latent_channels)
        if alignment_width is not None:
            self.projector = Projector(width, alignment_width, hidden_width=projector_width)
        positions = grid_positions(self.token_grid, width, rows_first=False)
        self.register_buffer("positions", positions, persistent=False)
        self.initialise()

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of tokens; the last ones reach over the edge where they have to."""
        return -(-self.latent_size[0] // self.patch), -(-self.latent_size[1] // self.patch)

    @property
    def repeated(self) -> list[nn.Module]:
        """The modules to be compiled one by one."""
        return list(self.blocks)

    def initialise(self) -> None:
        """Initialise as DiT, SiT and REPA's code do, so that every block starts as the identity.

        Linear layers are Xavier-uniform with zero bias; label tables and the time embedding N(0,
        0.02^2); modulations and the final layer zero.
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

    def forward_with_hidden(
        self,
        x: Tensor,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None = None,
        batch: Tensor | None = None,
        *,
        depth: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Velocity, and the hidden tokens [N, T, width] after `depth` blocks.

        `depth` defaults to the alignment depth, or else to all blocks; for other parameters see
        `forward`.
        """
        self.check_latents(x)
        depth = depth or self.alignment_depth or len(self.blocks)
        condition = self.condition(time, perturbation, cell_type, drop, batch)
        height, width = self.latent_size
        rows, columns = self.token_grid
        whole = (rows * self.patch, columns * self.patch)
        if whole != self.latent_size:
            x = F.pad(x, (0, whole[1] - width, 0, whole[0] - height), mode="replicate")
        tokens = self.patches(patchify(x, self.patch)) + self.positions
        hidden = tokens
        for number, block in enumerate(self.blocks, start=1):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, condition, use_reentrant=False)
            else:
                tokens = block(tokens, condition)
            if number == depth:
                hidden = tokens
        velocity = unpatchify(self.final(tokens, condition), self.patch, whole)
        return velocity[..., :height, :width], hidden


def build(
    settings: Settings, vocabulary: Vocabulary, latent_shape: tuple[int, int, int], **options: Any
) -> FlowGenerator:
    """Build MorphGen's generator; see `registry.build_generator`."""
    if settings.alignment is not None and options.get("target_width") is not None:
        options["alignment_depth"] = settings.alignment.block
    return build_flow(SiT, settings, vocabulary, latent_shape, **options)


def operations(architecture: str, channels: int, size: int) -> tuple[float, float]:
    """Operations of one forward pass over one latent (multiply-adds count as two), and parameters.

    Per block and token 24 width^2 for the linear layers and 4 tokens width for attention; the
    modulation (12 width^2) counts once per image.
    """
    preset = PRESETS[architecture]
    tokens, width = (-(-size // preset.patch)) ** 2, preset.width
    per_token = 24 * width**2 + 4 * tokens * width
    forward = float(preset.depth * (tokens * per_token + 12 * width**2))
    return forward, 18.0 * width**2 * preset.depth
