"""Sizes of the U-Nets by name, readable without torch."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class UNetPreset:
    """Configuration of diffusers' UNet2DConditionModel.

    Attributes
    ----------
    block_out_channels
        Width of each level; the latent is halved between two levels.
    attention
        Whether a level has self-attention and cross-attention; the middle block always has.
    layers_per_block
        Residual blocks per level of the encoder; the decoder has one more.
    attention_head_dim
        Number of attention heads (diffusers keeps this name for older files).
    norm_num_groups
        Groups of the group normalisation; must divide every width.
    cross_attention_dim
        Width of a condition token; that of Stable Diffusion's CLIP by default.
    """

    block_out_channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers_per_block: int = 2
    attention_head_dim: int = 8
    norm_num_groups: int = 32
    cross_attention_dim: int = 768

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments of UNet2DConditionModel."""
        return {
            "block_out_channels": self.block_out_channels,
            "down_block_types": tuple(
                "CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in self.attention
            ),
            "up_block_types": tuple(
                "CrossAttnUpBlock2D" if attends else "UpBlock2D"
                for attends in reversed(self.attention)
            ),
            "layers_per_block": self.layers_per_block,
            "attention_head_dim": self.attention_head_dim,
            "norm_num_groups": self.norm_num_groups,
            "cross_attention_dim": self.cross_attention_dim,
        }


UNET_PRESETS = {
    # unet/config.json of CompVis/stable-diffusion-v1-4, which MorphoDiff fine-tunes.
    "SD-v1-4": UNetPreset((320, 640, 1280, 1280), (True, True, True, False)),
    # Smaller ones, for workstations, for small latents on a CPU, and for tests.
    "SD-S": UNetPreset((64, 128, 256), (False, True, True)),
    "SD-Ti": UNetPreset((64, 64, 64), (True, True, True), layers_per_block=1, attention_head_dim=4),
    "SD-test": UNetPreset(
        (8, 16), (True, True), layers_per_block=1, attention_head_dim=2, norm_num_groups=4
    ),
}
