"""Sizes of the SiT networks by name, readable without torch."""

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
    "SiT-Na/1": Preset(8, 128, 4, patch=1),
    "SiT-test/2": Preset(2, 64, 2),
}
