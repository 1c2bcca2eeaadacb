"""Sizes of IMPA's networks by name, readable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class IMPAPreset:
    """Widths of a `morphpipe.generators.impa.IMPA`.

    Attributes
    ----------
    width
        Channels at the full size of an image; doubled by every halving of it.
    halvings
        How often the generator halves an image.
    middle_blocks
        Blocks of the encoder at the smallest size, and as many of the decoder.
    style, hidden
        Numbers of a style, and width of the hidden layer that makes it.
    """

    width: int
    halvings: int
    middle_blocks: int = 2
    style: int = 64
    hidden: int = 512


IMPA_PRESETS = {
    # The paper's; S is ours, for images of 64x64 on two cores, and the last for tests.
    "IMPA": IMPAPreset(64, 3),
    "IMPA-S": IMPAPreset(32, 2, middle_blocks=1, hidden=128),
    "IMPA-test": IMPAPreset(8, 1, middle_blocks=1, style=8, hidden=16),
}
