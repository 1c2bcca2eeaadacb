"""Layers of SiT and the U-Nets: patches, time embedding, modulated blocks, padded tokens."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def patchify(x: Tensor, patch: int) -> Tensor:
    """Cut [N, C, h, w] into tokens [N, (h / patch) (w / patch), patch * patch * C], row by row."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def unpatchify(tokens: Tensor, patch: int, size: tuple[int, int]) -> Tensor:
    """Inverse of `patchify` for a latent of the given height and width."""
    n, (h, w) = len(tokens), size
    x = tokens.reshape(n, h // patch, w // patch, patch, patch, -1)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(n, -1, h, w)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Shift and scale tokens [N, T, width] by [N, width] each."""
    return x * (1 + scale[:, None]) + shift[:, None]


class TimeEmbedding(nn.Module):
    """Time in [0, 1] to [N, width]: 256 cosines and sines, then a two-layer perceptron.

    `scale` multiplies the time first. SiT and REPA use scale 1, which leaves most of the
    frequencies, 1 to 1e-4, almost constant.
    """

    def __init__(self, width: int, *, frequencies: int = 256, scale: float = 1.0) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.scale = scale
        self.first = nn.Linear(frequencies, width)
        self.second = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        """Embed times [N]."""
        half = self.frequencies // 2
        exponent = torch.arange(half, dtype=torch.float32, device=time.device) / half
        angle = self.scale * time.float()[:, None] * torch.exp(-math.log(10_000) * exponent)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return self.second(F.silu(self.first(waves.to(self.first.weight.dtype))))


class EmbeddingProjection(nn.Module):
    """Perturbation embeddings [N, d] to [N, width]: a two-layer perceptron.

    The null class has a learnt vector.
    """

    def __init__(self, embedding_width: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(embedding_width, width)
        self.second = nn.Linear(width, width)
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, embedding: Tensor, drop: Tensor | None = None) -> Tensor:
        """Project embeddings [N, d]; the null vector where `drop` [N] is true."""
        projected = self.second(F.silu(self.first(embedding.to(self.first.weight.dtype))))
        return projected if drop is None else torch.where(drop[:, None], self.null, projected)


class LabelTable(nn.Embedding):
    """A learnt vector per label, and one for the null class."""

    def __init__(self, labels: int, width: int) -> None:
        super().__init__(labels + 1, width)

    def forward(self, labels: Tensor, drop: Tensor | None = None) -> Tensor:
        """Look up labels int64 [N]; the null class, the last row, where `drop` [N] is true."""
        if drop is not None:
            labels = labels.masked_fill(drop, self.num_embeddings - 1)
        return super().forward(labels)


# Above it, materialising all scores costs memory for little speed.
FEW_TOKENS = 1024


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of [N, heads, T, head width].

    torch's fused attention, except for few tokens in bfloat16 on a CPU, where it takes up to seven
    times as long, mostly in the backward pass: there matrices are multiplied one by one
    (docs/training.md).
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or q.shape[-2] > FEW_TOKENS:
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(dim=-1) @ v


class Attention(nn.Module):
    """Multi-head self-attention over tokens [N, T, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens [N, T, width]."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        x = attend(q, k, v)
        return self.projection(x.transpose(1, 2).reshape(n, tokens, width))


class Block(nn.Module):
    """Transformer block whose norms and residuals are modulated by the condition (adaLN-Zero).

    The condition is already activated (SiLU), once for all blocks.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.perceptron_norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map tokens [N, T, width] under the condition [N, width]."""
        shift_a, scale_a, gate_a, shift_p, scale_p, gate_p = self.modulation(condition).chunk(6, 1)
        y = self.attention(modulate(self.attention_norm(x), shift_a, scale_a))
        x = x + gate_a[:, None] * y
        y = self.perceptron(modulate(self.perceptron_norm(x), shift_p, scale_p))
        return x + gate_p[:, None] * y


class FinalLayer(nn.Module):
    """Modulated norm and linear map from tokens to patches."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(width, outputs)
        self.modulation = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map tokens [N, T, width] to [N, T, outputs] under the condition [N, width]."""
        shift, scale = self.modulation(condition).chunk(2, dim=1)
        return self.linear(modulate(self.norm(x), shift, scale))


def pad_tokens(embedding: Tensor, width: int, value: float = 1.0) -> Tensor:
    """Pad embeddings on both sides to the width of a prompt token.

    `morphpipe.perturbations.tokens.centre_pad` for a batch on any device.

    Parameters
    ----------
    embedding
        [N, d], d at most `width`.
    width
        Width of a token.
    value
        Padding value.

    Returns
    -------
    Tensor
        float32 [N, width].
    """
    missing = width - embedding.shape[1]
    return F.pad(embedding.float(), (missing // 2, missing - missing // 2), value=value)
