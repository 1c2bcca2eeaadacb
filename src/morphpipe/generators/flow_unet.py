"""A small convolutional U-Net that predicts the velocity of a flow.

Residual blocks modulated by the condition and self-attention on the coarser grids, as in
diffusion's U-Nets (Ho et al. 2020, arXiv:2006.11239; Dhariwal and Nichol 2021, arXiv:2105.05233,
section 3), conditioned like MorphGen's SiT: c = e_perturbation + e_celltype + e_t. Convolutions
have the locality that a transformer must learn: with a few hundred fields and minutes of training,
this network generates whole cells earlier.
"""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from morphpipe.config.generators import FlowUNet as Settings
from morphpipe.config.sit_presets import FLOW_UNET_PRESETS
from morphpipe.core.errors import ConfigError
from morphpipe.generators.alignment import Projector
from morphpipe.generators.flow import FlowGenerator, FlowNetwork, build_flow, count_operations
from morphpipe.generators.layers import LabelTable, attend
from morphpipe.perturbations.vocabulary import Vocabulary

# Channels per group of GroupNorm.
_GROUP = 16


def optimal_linear(time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Preconditioning of the velocity by the optimal linear prediction.

    For data of unit variance, x_t = (1 - t) x + t eps has the variance s^2 = (1 - t)^2 + t^2, and
    the best linear prediction of v = eps - x is (2 t - 1) / s^2 times x_t, with the error 1 / s.
    This is EDM's preconditioning (Karras et al. 2022, arXiv:2206.00364, equation 7 and appendix
    B.6) on the linear path: the network has a target of unit variance and need not learn to pass
    the noise through.

    Parameters
    ----------
    time
        [N], in [0, 1].

    Returns
    -------
    tuple of Tensor
        [N] each: factors of x_t in the velocity (c_skip), of the network's output (c_out), and of
        x_t at the network's input (c_in).
    """
    variance = (1 - time) ** 2 + time**2
    inverse = variance.rsqrt()
    return (2 * time - 1) / variance, inverse, inverse


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(channels // _GROUP, 1), channels)


class ResidualBlock(nn.Module):
    """Two convolutions with a skip; the second norm is modulated by the condition.

    The condition is already activated (SiLU), once for all blocks. The last convolution starts at
    zero, so that a new block is the identity skip.
    """

    def __init__(
        self, inputs: int, outputs: int, condition_width: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.first_norm = _norm(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(condition_width, 2 * outputs)
        self.second_norm = _norm(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w] under the condition [N, width]."""
        y = self.first(F.silu(self.first_norm(x)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        y = F.silu(self.second_norm(y) * (1 + scale) + shift)
        y = self.second(F.dropout(y, self.dropout, self.training))
        return self.skip(x) + y


class GridAttention(nn.Module):
    """Residual self-attention between the positions of a grid."""

    def __init__(self, channels: int, heads: int | None = None, head_width: int = 32) -> None:
        super().__init__()
        self.heads = heads or max(channels // head_width, 1)
        self.norm = _norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.projection = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.projection.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the positions of [N, channels, h, w]."""
        n, channels, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, channels // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        y = attend(q, k, v)
        return x + self.projection(y.transpose(-1, -2).reshape(n, channels, h, w))


class Stage(nn.Module):
    """A residual block, with attention on coarse grids."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        condition_width: int,
        attention: bool,
        heads: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, condition_width, dropout)
        self.attention = GridAttention(outputs, heads) if attention else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w] under the condition [N, width]."""
        x = self.block(x, condition)
        return x if self.attention is None else self.attention(x)


class Halved(nn.Module):
    """A grid of half the height and width, rounded up, by means of four places (two at an edge)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, h, w] to [N, C, h/2, w/2]."""
        return F.avg_pool2d(x, 2, ceil_mode=True)


class FlowUNet(FlowNetwork):
    """A convolutional U-Net, see `FlowNetwork`.

    Parameters
    ----------
    latent_channels, latent_size, gradient_checkpointing
        See `FlowNetwork`; odd sizes are halved rounding up.
    width
        Channels at full resolution.
    multipliers
        Channels of each level over `width`, from fine to coarse; each level halves the grid.
    blocks
        Residual blocks per level, in the encoder and decoder, with skip connections between them.
    middle_blocks
        Residual blocks on the coarsest grid.
    attention_levels
        Number of coarsest levels with attention after each block.
    attention_at
        The levels with attention, from 0, in place of the coarsest ones.
    heads
        Heads of attention; None for one per 32 channels.
    dropout
        Share of channels' values that training sets to zero before each block's last convolution.
    resample_convolutions
        Whether grids are halved and doubled with convolutions, or by means and repetition.
    all_skips
        Whether the stem and each halved grid have skip connections too, to one more block per level
        of the decoder (ADM; CellFlux).
    condition_multiple
        Width of the condition over `width`.
    alignment_width
        Width of the tokens that the coarsest grid is aligned with, after the middle blocks; None
        for no projector.
    projector_width
        Hidden width of the projector.
    time_scale
        1000, as for diffusion timesteps: with times in [0, 1] most frequencies are nearly constant.
    preconditioned
        Whether the network predicts what `optimal_linear` leaves of the velocity of a path from
        noise. It does not hold for paths from images, nor for predictions of the data.
    conditioning
        See `FlowNetwork.embed_conditions`.

    Raises
    ------
    ConfigError
        If the sizes do not fit together.
    """

    presets = FLOW_UNET_PRESETS

    def __init__(
        self,
        *,
        latent_channels: int,
        latent_size: int | tuple[int, int],
        width: int,
        multipliers: tuple[int, ...],
        blocks: int = 2,
        middle_blocks: int = 3,
        attention_levels: int = 2,
        attention_at: tuple[int, ...] | None = None,
        heads: int | None = None,
        dropout: float = 0.0,
        resample_convolutions: bool = True,
        all_skips: bool = False,
        condition_multiple: int = 2,
        alignment_width: int | None = None,
        projector_width: int = 2048,
        gradient_checkpointing: bool = False,
        time_scale: float = 1000.0,
        preconditioned: bool = True,
        **conditioning: Any,
    ) -> None:
        inner = condition_multiple * width
        options: dict[str, Any] = {"heads": heads, "dropout": dropout}
        self.all_skips = all_skips
        super().__init__(
            latent_channels, latent_size, gradient_checkpointing=gradient_checkpointing
        )
        factor = 2 ** (len(multipliers) - 1)
        if alignment_width is not None and any(side % factor for side in self.latent_size):
            raise ConfigError(
                f"A latent of {self.latent_size[0]}x{self.latent_size[1]} cannot be halved evenly "
                f"{len(multipliers) - 1} times, so that its coarsest grid cannot be aligned: "
                f"choose an image size whose latents are multiples of {factor}, a U-Net of fewer "
                "levels, or no alignment."
            )
        self.preconditioned = preconditioned
        self.embed_conditions(inner, time_scale=time_scale, **conditioning)
        channels = [width * multiplier for multiplier in multipliers]
        levels = range(len(multipliers))
        if attention_at is None:
            attention_at = tuple(levels[max(len(multipliers) - attention_levels, 0) :])
        attends = [level in attention_at for level in levels]
        self.stem = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.down = nn.ModuleList()
        self.coarser = nn.ModuleList()
        self.up = nn.ModuleList()
        self.finer = nn.ModuleList()
        skips: list[int] = [width] if all_skips else []
        here = width
        for level, outputs in enumerate(channels):
            stages = nn.ModuleList()
            for _ in range(blocks):
                stages.append(Stage(here, outputs, inner, attends[level], **options))
                here = outputs
                skips.append(here)
            self.down.append(stages)
            if level < len(channels) - 1:
                self.coarser.append(
                    nn.Conv2d(here, here, 3, stride=2, padding=1)
                    if resample_convolutions
                    else Halved()
                )
                skips += [here] * all_skips
        self.middle = nn.ModuleList(
            Stage(here, here, inner, number < middle_blocks - 1, **options)
            for number in range(middle_blocks)
        )
        for level, outputs in reversed(list(enumerate(channels))):
            stages = nn.ModuleList()
            for _ in range(blocks + all_skips):
                stages.append(Stage(here + skips.pop(), outputs, inner, attends[level], **options))
                here = outputs
            self.up.append(stages)
            if level:
                self.finer.append(
                    nn.Conv2d(here, here, 3, padding=1) if resample_convolutions else nn.Identity()
                )
        self.final_norm = _norm(here)
        self.final = nn.Conv2d(here, latent_channels, 3, padding=1)
        nn.init.zeros_(self.final.weight)
        nn.init.zeros_(self.final.bias)  # type: ignore[arg-type]
        # Larger than SiT's 0.02, so that conditions have an effect from the first steps
        # (docs/training.md).
        for table in self.modules():
            if isinstance(table, LabelTable):
                nn.init.normal_(table.weight, std=0.5)
        if alignment_width is not None:
            self.projector = Projector(channels[-1], alignment_width, hidden_width=projector_width)
        # The fastest layout for convolutions, on CPUs and GPUs.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def repeated(self) -> list[nn.Module]:
        """The modules to be compiled one by one."""
        return [module for module in self.modules() if isinstance(module, Stage)]

    def forward_with_hidden(
        self,
        x: Tensor,
        time: Tensor,
        perturbation: Tensor,
        cell_type: Tensor,
        drop: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Velocity [N, C, h, w], and the coarsest grid as tokens [N, T, channels] in row order."""
        self.check_latents(x)
        condition = self.condition(time, perturbation, cell_type, drop, batch)
        linear: Tensor | float = 0.0
        out: Tensor | float = 1.0
        if self.preconditioned:
            skip, out, into = (factor[:, None, None, None] for factor in optimal_linear(time))
            linear, x = skip * x, into * x
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        skips = [x] if self.all_skips else []
        for stages, coarser in itertools.zip_longest(self.down, self.coarser):
            for stage in stages.children():
                x = self._run(stage, x, condition)
                skips.append(x)
            if coarser is not None:
                x = coarser(x)
                if self.all_skips:
                    skips.append(x)
        for stage in self.middle:
            x = self._run(stage, x, condition)
        hidden = x.flatten(2).transpose(1, 2)
        for stages, finer in itertools.zip_longest(self.up, self.finer):
            for stage in stages.children():
                x = self._run(stage, torch.cat([x, skips.pop()], dim=1), condition)
            if finer is not None:
                x = finer(F.interpolate(x, size=skips[-1].shape[-2:], mode="nearest"))
        return linear + out * self.final(F.silu(self.final_norm(x))), hidden

    def _run(self, stage: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(stage, x, condition, use_reentrant=False)
        return stage(x, condition)


def build(
    settings: Settings, vocabulary: Vocabulary, latent_shape: tuple[int, int, int], **options: Any
) -> FlowGenerator:
    """Build a generator with this network; see `registry.build_generator`."""
    preconditioned = settings.coupling == "noise" and settings.prediction == "velocity"
    return build_flow(
        FlowUNet, settings, vocabulary, latent_shape, preconditioned=preconditioned, **options
    )


def operations(architecture: str, channels: int, size: int) -> tuple[float, float]:
    """Operations of one forward pass over one latent, and parameters."""
    return count_operations(FlowUNet, architecture, channels, size)
