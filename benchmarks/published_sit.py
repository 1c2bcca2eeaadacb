"""SiT and its training step in the plain form of the publications, to hold ours against.

Written from the papers: DiT (Peebles and Xie 2023, arXiv:2212.09748, section 3.2), SiT (Ma et al.
2024, arXiv:2401.08740) and REPA (Yu et al. 2024, arXiv:2410.06940, section 3). Everything is in
float32: attention is softmax(Q K^T / sqrt(d)) V as the equation has it, each block activates the
condition itself, AdamW and the averaged weights go from tensor to tensor, and the loss is read
after each step. It gives the same loss as ours for the same weights, which `training_steps.py`
checks before it measures.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphpipe.generators.base import TrainingBatch
from morphpipe.generators.flow import FlowGenerator
from morphpipe.generators.sit import SiT


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class TimestepEmbedder(nn.Module):
    """Cosines and sines of 128 frequencies, then a perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Embed times [N]."""
        frequencies = torch.exp(-math.log(10000) * torch.arange(128, device=t.device) / 128)
        arguments = t[:, None] * frequencies[None]
        return self.mlp(torch.cat([torch.cos(arguments), torch.sin(arguments)], dim=-1))


class LabelEmbedder(nn.Module):
    """A vector per class and one for dropped labels."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        self.table = nn.Embedding(classes + 1, width)

    def forward(self, labels: Tensor, drop: Tensor) -> Tensor:
        """Look up labels [N]."""
        return self.table(torch.where(drop, self.classes, labels))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens [N, T, width]."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, tokens, width))


class SiTBlock(nn.Module):
    """A transformer block with adaLN-Zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Map tokens [N, T, width] under the condition [N, width]."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, 1)
        attended = self.attn(modulated(self.norm1(x), shift_a, scale_a))
        x = x + gate_a.unsqueeze(1) * attended
        return x + gate_m.unsqueeze(1) * self.mlp(modulated(self.norm2(x), shift_m, scale_m))


class PublishedSiT(nn.Module):
    """The network, of the sizes and with the weights of one of ours that has a projector."""

    def __init__(self, ours: SiT) -> None:
        super().__init__()
        width = ours.patches.out_features
        self.patch, self.grid = ours.patch, ours.token_grid
        self.encoder_depth = ours.alignment_depth
        self.x_embedder = nn.Conv2d(ours.latent_channels, width, self.patch, stride=self.patch)
        self.pos_embed = nn.Parameter(ours.positions.clone()[None], requires_grad=False)
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(ours.perturbation.num_embeddings - 1, width)
        self.cell_embedder = LabelEmbedder(ours.cell_type.num_embeddings - 1, width)
        self.blocks = nn.ModuleList(SiTBlock(width, b.attention.heads) for b in ours.blocks)
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear_final = nn.Linear(width, ours.final.linear.out_features)
        self.adaLN_final = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.projector = nn.Sequential(*(copy.deepcopy(layer) for layer in ours.projector))
        self.take_weights(ours)

    @torch.no_grad()
    def take_weights(self, ours: SiT) -> None:
        """Copy the weights of ours."""
        # Ours has the patch before the channels.
        kernel = ours.patches.weight.reshape(-1, self.patch, self.patch, ours.latent_channels)
        self.x_embedder.weight.copy_(kernel.permute(0, 3, 1, 2))
        self.x_embedder.bias.copy_(ours.patches.bias)
        pairs = [
            (self.t_embedder.mlp[0], ours.time.first),
            (self.t_embedder.mlp[2], ours.time.second),
            (self.y_embedder.table, ours.perturbation),
            (self.cell_embedder.table, ours.cell_type),
            (self.linear_final, ours.final.linear),
            (self.adaLN_final[1], ours.final.modulation),
        ]
        for theirs, block in zip(self.blocks, ours.blocks, strict=True):
            pairs += [
                (theirs.attn.qkv, block.attention.qkv),
                (theirs.attn.proj, block.attention.projection),
                (theirs.mlp, block.perceptron),
                (theirs.adaLN_modulation[1], block.modulation),
            ]
        for theirs, module in pairs:
            theirs.load_state_dict(module.state_dict())

    def forward(self, x: Tensor, t: Tensor, y: Tensor, cell: Tensor, drop: Tensor) -> list[Tensor]:
        """Velocity [N, C, h, w] and projected tokens [N, T, d]."""
        x = self.x_embedder(x).flatten(2).transpose(1, 2) + self.pos_embed
        c = self.t_embedder(t) + self.y_embedder(y, drop) + self.cell_embedder(cell, drop)
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, c)
            if number == self.encoder_depth:
                projected = self.projector(x)
        shift, scale = self.adaLN_final(c).chunk(2, dim=1)
        x = self.linear_final(modulated(self.norm_final(x), shift, scale))
        x = x.reshape(len(x), *self.grid, self.patch, self.patch, -1)
        x = torch.einsum("nhwpqc->nchpwq", x)
        size = [self.patch * number for number in self.grid]
        return [x.reshape(*x.shape[:2], *size), projected]


class PublishedStep:
    """A training step of REPA on one batch, called again and again."""

    def __init__(self, ours: FlowGenerator, batch: TrainingBatch, learning_rate: float) -> None:
        self.model = PublishedSiT(ours.network)
        self.weight = ours.alignment_weight
        self.batch = batch
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=learning_rate, weight_decay=0.0, foreach=False, fused=False
        )

    def __call__(self) -> float:
        """Take the step and give its loss."""
        loss = self.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.update_ema()
        return loss.item()

    def loss(self) -> Tensor:
        """Squared error of the velocity plus the weighted alignment."""
        batch = self.batch
        t = batch.time.reshape(-1, 1, 1, 1)
        model_input = (1 - t) * batch.latents + t * batch.noise
        condition = batch.condition
        velocity, projected = self.model(
            model_input, batch.time, condition.perturbation, condition.cell_type, batch.drop[:, 0]
        )
        denoising = ((velocity - (batch.noise - batch.latents)) ** 2).flatten(1).mean(1).mean()
        projected, targets = F.normalize(projected, dim=-1), F.normalize(batch.targets, dim=-1)
        return denoising - self.weight * (projected * targets).sum(-1).mean()

    @torch.no_grad()
    def update_ema(self, decay: float = 0.9999) -> None:
        """Average the weights, ema = decay ema + (1 - decay) p, tensor by tensor."""
        weights = dict(self.model.named_parameters())
        for name, average in self.ema.named_parameters():
            average.mul_(decay).add_(weights[name], alpha=1 - decay)
