"""OpenPhenom: a channel-agnostic masked autoencoder's encoder for microscopy (CA-MAE ViT-S/16).

Kraus et al. 2024, "Masked autoencoders for microscopy are scalable learners of cellular biology"
(arXiv:2404.10242). The network is implemented from its published description, and loads the
published weights (recursionpharma/OpenPhenom on the Hugging Face hub) unchanged.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm
from timm.models.vision_transformer import ParallelScalingBlock
from torch import Tensor, nn

from morphpipe.core.errors import DataError, WeightsError
from morphpipe.core.state_dict import read_state_dict
from morphpipe.encoders.base import ALL, RGB, TokenEncoder, check_images
from morphpipe.imaging.positions import grid_positions

WIDTH = 384
DEPTH = 12
HEADS = 6
TILE = 256  # pixels; side of the network's input
PATCH = 16
GRID = TILE // PATCH
MAXIMUM_CHANNELS = 11  # the published table of positions has 1 + 11 * 256 rows

Norm = Literal["tile", "image"]

_IGNORED = ("decoder.", "encoder_decoder_proj.", "decoder_pred.")  # of the autoencoder


class _PatchEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, WIDTH, kernel_size=PATCH, stride=PATCH)


class _Backbone(nn.Module):
    """The vision transformer; names are those of the published state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        grid = grid_positions((GRID, GRID), WIDTH, rows_first=True)
        positions = torch.cat([torch.zeros(1, WIDTH), grid.repeat(MAXIMUM_CHANNELS, 1)])
        self.pos_embed = nn.Parameter(positions[None], requires_grad=False)
        self.patch_embed = _PatchEmbedding()
        self.blocks = nn.Sequential(
            *(
                ParallelScalingBlock(
                    WIDTH,
                    HEADS,
                    qkv_bias=False,
                    qk_norm=True,
                    init_values=1e-4,
                    norm_layer=LayerNorm,  # timm's: its eps is 1e-6
                )
                for _ in range(DEPTH)
            )
        )
        self.fc_norm = LayerNorm(WIDTH)  # in the published file, but unused by its features

    def forward(self, x: Tensor) -> Tensor:
        """Compute patch tokens [N, C * 256, 384], by channel, of images [N, C, 256, 256]."""
        n, channels = x.shape[:2]
        patches = self.patch_embed.proj(x.reshape(n * channels, 1, TILE, TILE))
        patches = patches.flatten(2).transpose(1, 2).reshape(n, channels * GRID**2, WIDTH)
        tokens = torch.cat([self.cls_token.expand(n, -1, -1), patches], dim=1)
        return self.blocks(tokens + self.pos_embed[:, : tokens.shape[1]])[:, 1:]


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vit_backbone = _Backbone()


class OpenPhenom(nn.Module):
    """The encoder of OpenPhenom, for images of 1 to 11 channels in any order.

    Images are cut into tiles of 256x256 pixels, as in the network's training, scaled to [0, 1] and
    normalised per channel (instance norm). Features have no gradients.

    Parameters
    ----------
    norm
        Scope of the normalisation: each ``tile``, as published, or the whole ``image``.
    """

    def __init__(self, *, norm: Norm = "tile") -> None:
        super().__init__()
        self.norm = norm
        self.encoder = _Encoder()
        self.register_load_state_dict_pre_hook(_drop_decoder)

    @classmethod
    def from_file(cls, path: str | Path, *, norm: Norm = "tile") -> Self:
        """Load the published weights from a safetensors file or a pickle, under any name.

        Raises
        ------
        WeightsError
            If the file cannot be read, or its encoder's tensors are not the 162 expected ones.
        """
        model = cls(norm=norm)
        state = read_state_dict(path)
        expected = model.state_dict()
        found = {name for name in state if not name.startswith(_IGNORED)}
        missing, unexpected = sorted(expected.keys() - found), sorted(found - expected.keys())
        misshapen = [
            f"{name} {list(state[name].shape)} instead of {list(expected[name].shape)}"
            for name in sorted(found & expected.keys())
            if state[name].shape != expected[name].shape
        ]
        problems = [
            f"{len(names)} {kind} ({', '.join(names[:4])}{', …' if len(names) > 4 else ''})"
            for kind, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
            )
            if names
        ]
        if problems:
            raise WeightsError(
                f"{path} does not contain OpenPhenom's encoder; its tensors: "
                f"{'; '.join(problems)}. Use model.safetensors of recursionpharma/OpenPhenom."
            )
        model.load_state_dict(state)
        return model.eval().requires_grad_(False)

    @torch.no_grad()
    def tokens(self, images: Tensor, *, concatenate: bool = False) -> Tensor:
        """Compute patch tokens, with tiles put back into their positions.

        Parameters
        ----------
        images
            uint8 [N, C, H, W]; H and W multiples of 256.
        concatenate
            Concatenate the tokens of all channels instead of averaging them.

        Returns
        -------
        Tensor
            float32 [N, (H / 16) (W / 16), 384], or C * 384 wide if concatenated. A field of 512x512
            has 1,024 tokens, in row order, like SiT on latents of 64x64.

        Raises
        ------
        DataError
            If the images are of another type or shape.
        """
        tokens = self._tile_tokens(images)  # [N, rows, columns, C, 16, 16, 384]
        n, rows, columns, channels = tokens.shape[:4]
        tokens = tokens.permute(0, 1, 4, 2, 5, 3, 6)
        tokens = tokens.reshape(n, rows * GRID * columns * GRID, channels, WIDTH)
        return tokens.flatten(2) if concatenate else tokens.mean(dim=2)

    @torch.no_grad()
    def embed(self, images: Tensor, *, channelwise: bool = False) -> Tensor:
        """Compute features of whole images: the mean of all patch tokens, averaged over tiles.

        Parameters
        ----------
        images
            uint8 [N, C, H, W]; H and W multiples of 256.
        channelwise
            Average the tokens of each channel separately.

        Returns
        -------
        Tensor
            float32 [N, 384], or [N, C * 384], by channel.

        Raises
        ------
        DataError
            If the images are of another type or shape.
        """
        channels = self._tile_tokens(images).mean(dim=(1, 2, 4, 5))  # [N, C, 384]
        return channels.flatten(1) if channelwise else channels.mean(dim=1)

    def _tile_tokens(self, images: Tensor) -> Tensor:
        """Tokens of every tile: [N, rows, columns, C, 16, 16, 384]."""
        channels = images.shape[1] if images.ndim == 4 else 0
        if not 1 <= channels <= MAXIMUM_CHANNELS:
            raise DataError(
                f"OpenPhenom needs images [N, C, H, W] of 1 to {MAXIMUM_CHANNELS} channels, not "
                f"{list(images.shape)}."
            )
        check_images(images, channels, "OpenPhenom")
        n, _, height, width = images.shape
        if height % TILE or width % TILE or not height or not width:
            raise DataError(
                f"OpenPhenom needs multiples of {TILE}x{TILE} pixels, not {height}x{width}: crop "
                "or resize the images first."
            )
        rows, columns = height // TILE, width // TILE
        device = self.encoder.vit_backbone.cls_token.device
        x = images.to(device).float() / 255
        if self.norm == "image":
            x = F.instance_norm(x)
        tiles = x.reshape(n, channels, rows, TILE, columns, TILE)
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, TILE, TILE)
        if self.norm == "tile":
            tiles = F.instance_norm(tiles)
        tokens = self.encoder.vit_backbone(tiles)
        return tokens.float().reshape(n, rows, columns, channels, GRID, GRID, WIDTH)


def _drop_decoder(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Drop the decoder from a published state dict (a copy made by torch)."""
    ignored = tuple(prefix + name for name in _IGNORED)
    for name in [name for name in state if name.startswith(ignored)]:
        del state[name]


class OpenPhenomEncoder(TokenEncoder):
    """OpenPhenom in the registry of encoders.

    One pass over all channels gives the view "all" (their average) and each channel's view (its 384
    features of the channel-wise embedding). "rgb" is treated as three channels.

    Parameters
    ----------
    network
        The network, with its weights.
    channels
        Names of the images' channels in order.
    concatenate
        Concatenate the tokens of channels for alignment instead of averaging them.
    """

    name = "OpenPhenom"
    width = WIDTH

    def __init__(
        self, network: OpenPhenom, channels: Sequence[str], *, concatenate: bool = False
    ) -> None:
        self.network = network
        self.channels = tuple(channels)
        self.concatenate = concatenate
        self.token_width = WIDTH * len(self.channels) if concatenate else WIDTH
        self.preprocessing = (
            f"tiles of 256x256, divided by 255, instance norm per {network.norm} and channel"
        )
        self.views = (ALL, *self.channels, RGB)

    def embed(self, images: Tensor, view: str) -> Tensor:
        """See `Encoder.embed`."""
        return self.embed_views(images, [view])[view]

    def embed_views(self, images: Tensor, views: Sequence[str]) -> dict[str, Tensor]:
        """See `Encoder.embed_views`; one pass for all channels and each of them."""
        for view in views:
            self.check_view(view)
        features = {}
        if RGB in views:
            check_images(images, 3, self.name)
            features[RGB] = self.network.embed(images)
        if set(views) - {RGB}:
            check_images(images, len(self.channels), self.name)
            every = self.network.embed(images, channelwise=True)
            every = every.reshape(len(images), len(self.channels), WIDTH)
            for view in set(views) - {RGB}:
                features[view] = (
                    every.mean(dim=1) if view == ALL else every[:, self.channels.index(view)]
                )
        return {view: features[view] for view in views}

    def tokens(self, images: Tensor) -> Tensor:
        """See `TokenEncoder.tokens`; the channels' are averaged or concatenated."""
        check_images(images, len(self.channels), self.name)
        return self.network.tokens(images, concatenate=self.concatenate)

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """See `TokenEncoder.token_grid`."""
        return height // PATCH, width // PATCH
