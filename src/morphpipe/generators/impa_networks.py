"""IMPA's networks, as StarGAN v2 has them (Choi et al. 2020, arXiv:1912.01865, appendix E)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_SLOPE = 0.2
"""Of leaky ReLUs below 0."""
_LAST_SIDE = 4
"""Discriminator and style encoder halve an image until its shorter side is at most this."""


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)


def _shortcut(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)


class AdaptiveNorm(nn.Module):
    """Adaptive instance normalisation (Huang and Belongie 2017, arXiv:1703.06868).

    Each channel of an image gets a mean and deviation that follow from its style.
    """

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Normalise x [N, C, h, w] to the style [N, S]."""
        scale, shift = self.modulation(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * F.instance_norm(x) + shift


class Block(nn.Module):
    """Residual block, its sum divided by √2, so that variances stay alike.

    Parameters
    ----------
    inputs, outputs
        Channels.
    normalise
        Whether with instance normalisation, without learnt parameters.
    halve
        Whether the image is halved, by the mean of every four pixels; odd sizes are rounded up.
    """

    def __init__(self, inputs: int, outputs: int, *, normalise: bool, halve: bool) -> None:
        super().__init__()
        self.normalise, self.halve = normalise, halve
        self.first = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shortcut = _shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w], or to half of the height and width."""
        y = self.first(_activate(self._norm(x)))
        shortcut = self.shortcut(x)
        if self.halve:
            y, shortcut = (F.avg_pool2d(part, 2, ceil_mode=True) for part in (y, shortcut))
        y = self.second(_activate(self._norm(y)))
        return (shortcut + y) / 2**0.5

    def _norm(self, x: Tensor) -> Tensor:
        return F.instance_norm(x) if self.normalise else x


class StyledBlock(nn.Module):
    """Residual block that is normalised to a style; `enlarge`: to twice the height and width."""

    def __init__(self, inputs: int, outputs: int, style: int, *, enlarge: bool) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.first_norm = AdaptiveNorm(inputs, style)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second_norm = AdaptiveNorm(outputs, style)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = _shortcut(inputs, outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w], or twice of it, in the style [N, S]."""
        y = _activate(self.first_norm(x, style))
        if self.enlarge:
            x, y = (F.interpolate(part, scale_factor=2.0, mode="nearest") for part in (x, y))
        y = self.second(_activate(self.second_norm(self.first(y), style)))
        return (self.shortcut(x) + y) / 2**0.5


class Transformation(nn.Module):
    """Gives an image another style: an encoder without it, and a decoder that follows it.

    Parameters
    ----------
    channels
        Of an image.
    width, halvings, middle_blocks, style
        See `morphpipe.config.impa_presets.IMPAPreset`.
    gradient_checkpointing
        Recompute blocks in the backward pass: less memory, about a third more time.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        halvings: int,
        middle_blocks: int,
        style: int,
        *,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = gradient_checkpointing
        widths = [width * 2**level for level in range(halvings + 1)]
        levels = list(pairwise(widths))
        last = widths[-1]
        self.first = nn.Conv2d(channels, width, 1)
        self.encoder = nn.ModuleList(
            [Block(a, b, normalise=True, halve=True) for a, b in levels]
            + [Block(last, last, normalise=True, halve=False) for _ in range(middle_blocks)]
        )
        self.decoder = nn.ModuleList(
            [StyledBlock(last, last, style, enlarge=False) for _ in range(middle_blocks)]
            + [StyledBlock(b, a, style, enlarge=True) for a, b in reversed(levels)]
        )
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Transform images [N, C, h, w] to the styles [N, S]."""
        height, width = x.shape[-2:]
        x = self.first(x)
        for block in self.encoder:
            x = self._run(block, x)
        for block in self.decoder:
            x = self._run(block, x, style)
        # Sizes that were rounded up come back larger.
        return self.last(x[..., :height, :width])

    def _run(self, block: nn.Module, *inputs: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            found: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return found
        output: Tensor = block(*inputs)
        return output


class Judge(nn.Module):
    """Numbers of an image, of all of it: the style encoder and the discriminator.

    Parameters
    ----------
    channels, size
        Of an image.
    width, widest
        Channels at the full size, doubled by every halving up to the widest.
    outputs
        Numbers.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], width: int, widest: int, outputs: int
    ) -> None:
        super().__init__()
        (height, breadth), blocks = size, []
        self.first = nn.Conv2d(channels, width, 1)
        while min(height, breadth) > _LAST_SIDE:
            wider = min(2 * width, widest)
            blocks.append(Block(width, wider, normalise=False, halve=True))
            width, height, breadth = wider, -(-height // 2), -(-breadth // 2)
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.Conv2d(width, width, (height, breadth))
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, C, h, w] to [N, outputs]."""
        x = self.pool(_activate(self.blocks(self.first(x))))
        return self.last(_activate(x).flatten(1))
