"""Sizes of the networks of flows by name, readable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Depth, width, attention heads and patch size of a SiT."""

    depth: int
    width: int
    heads: int
    patch: int = 2


PRESETS = {
    # SiT (Ma et al. 2024), table 6; XL/2 is MorphGen's (appendix B).
    "SiT-XL/2": Preset(28, 1152, 16),
    "SiT-L/2": Preset(24, 1024, 16),
    "SiT-B/2": Preset(12, 768, 12),
    "SiT-S/2": Preset(12, 384, 6),
    # Ours, for workstations and tests.
    "SiT-Ti/2": Preset(8, 256, 4),
    "SiT-Na/2": Preset(8, 128, 4),
    "SiT-Na/1": Preset(8, 128, 4, patch=1),
    "SiT-test/2": Preset(2, 64, 2),
}


@dataclass(frozen=True)
class FlowUNetPreset:
    """Channels, levels and blocks of a `morphpipe.generators.flow_unet.FlowUNet`."""

    width: int
    multipliers: tuple[int, ...]
    blocks: int = 2
    middle_blocks: int = 3
    attention_levels: int = 2
    # What CellFlux has otherwise, see the network's parameters.
    attention_at: tuple[int, ...] | None = None
    heads: int | None = None
    dropout: float = 0.0
    resample_convolutions: bool = True
    all_skips: bool = False
    condition_multiple: int = 2
    time_scale: float = 1000.0


FLOW_UNET_PRESETS = {
    # Ours. S learnt fastest of those tried on latents of 12x12 (docs/training.md); the others are
    # for latents of 32x32 and 64x64, and for tests.
    "FlowUNet-S": FlowUNetPreset(64, (1, 2), blocks=1, middle_blocks=2, attention_levels=0),
    "FlowUNet-M": FlowUNetPreset(96, (1, 2, 3)),
    "FlowUNet-L": FlowUNetPreset(128, (1, 2, 3, 4)),
    "FlowUNet-test": FlowUNetPreset(16, (1, 2), blocks=1, middle_blocks=1, attention_levels=1),
}


def _cellflux(width: int, blocks: int) -> FlowUNetPreset:
    """CellFlux's U-Net, that of ADM (Dhariwal and Nichol 2021), at some width and depth."""
    return FlowUNetPreset(
        width,
        (2, 2, 2),
        blocks=blocks,
        middle_blocks=2,
        attention_at=(1,),
        heads=1,
        dropout=0.3,
        resample_convolutions=False,
        all_skips=True,
        condition_multiple=4,
        time_scale=1.0,
    )


CELLFLUX_PRESETS = {
    # CellFlux's released configuration; the others are ours, for a CPU and for tests.
    "CellFlux": _cellflux(128, 4),
    "CellFlux-S": _cellflux(32, 1),
    "CellFlux-test": _cellflux(16, 1),
}


def token_stride(architecture: str) -> int:
    """Rows (and columns) of the latent that one hidden token of a flow's network stands for."""
    if architecture in PRESETS:
        return PRESETS[architecture].patch
    networks = FLOW_UNET_PRESETS | CELLFLUX_PRESETS
    return int(2 ** (len(networks[architecture].multipliers) - 1))
