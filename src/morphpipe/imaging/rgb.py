"""RGB rendering of stains: RxRx1's six by their published table, others by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from morphpipe.core.errors import DataError


class StainColour(NamedTuple):
    """Display of one stain: its colour, and the grey value of full brightness."""

    channel: str
    red_green_blue: tuple[int, int, int]
    upper: int


# Recursion's published display table (rxrx1-utils, Apache-2.0), used by MorphoDiff and MorphGen.
RXRX1_COLOURS = (
    StainColour("DNA", (19, 0, 249), 51),
    StainColour("ER", (42, 255, 31), 107),
    StainColour("actin", (255, 0, 25), 64),
    StainColour("RNA", (45, 255, 252), 191),
    StainColour("mito", (250, 0, 253), 89),
    StainColour("Golgi", (254, 255, 40), 191),
)


def _lookup_table(colour: StainColour) -> npt.NDArray[np.uint16]:
    """Tabulate the contribution of each grey value to red, green and blue: uint16 [3, 256]."""
    grey = np.minimum(np.arange(256), colour.upper)
    # Integer arithmetic is the exact truncation of min(t / upper, 1) * colour.
    return (np.array(colour.red_green_blue)[:, None] * grey // colour.upper).astype(np.uint16)


RXRX1_CHANNELS = tuple(colour.channel for colour in RXRX1_COLOURS)
# Channels of RGB images.
RGB_CHANNELS = ("red", "green", "blue")

_LOOKUP_TABLES = tuple(_lookup_table(colour) for colour in RXRX1_COLOURS)


def rxrx1_to_rgb(stack: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Render RxRx1's six channels as RGB, as both papers do before Inception.

    Per channel x = min(t / upper, 1); x times the stain's colour is truncated to integers; the six
    contributions are summed and clipped at 255.

    Parameters
    ----------
    stack
        uint8 [6, H, W] or [N, 6, H, W], channels in RxRx1's order w1 to w6
        (DNA, ER, actin, RNA, mito, Golgi).

    Returns
    -------
    numpy.ndarray
        uint8 [H, W, 3] or [N, H, W, 3].

    Raises
    ------
    DataError
        If the values are not uint8 or there are not six channels.
    """
    stack = np.asarray(stack)
    if stack.dtype != np.uint8:
        raise DataError(
            f"the RGB view of RxRx1 needs 8-bit channels, but the stack is {stack.dtype}; "
            "convert it to uint8 first"
        )
    if stack.ndim not in (3, 4) or stack.shape[-3] != len(RXRX1_COLOURS):
        raise DataError(
            "the RGB view of RxRx1 needs a stack [6, H, W] or a batch [N, 6, H, W], "
            f"but the shape is {stack.shape}"
        )
    rgb = np.empty((*stack.shape[:-3], *stack.shape[-2:], 3), dtype=np.uint8)
    for component in range(3):
        total = np.zeros((*stack.shape[:-3], *stack.shape[-2:]), dtype=np.uint16)
        for channel, table in enumerate(_LOOKUP_TABLES):
            if table[component].any():
                total += table[component][stack[..., channel, :, :]]
        rgb[..., component] = np.minimum(total, 255)
    return rgb


def to_rgb(
    stack: npt.NDArray[Any], channels: Sequence[str], rgb: Sequence[str] | None = None
) -> npt.NDArray[np.uint8]:
    """Render fields as RGB by the rule of their data.

    Images of the channels red, green and blue are unchanged. If `rgb` names three channels, these
    are the planes (BBBC021: actin, tubulin, DNA). RxRx1's six channels follow `rxrx1_to_rgb`.

    Parameters
    ----------
    stack
        uint8 [C, H, W] or [N, C, H, W].
    channels
        Names of the C channels, in order.
    rgb
        Names of the channels shown as red, green and blue.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W, 3] or [N, H, W, 3].

    Raises
    ------
    DataError
        If the data have no rule, or a channel is missing or in the wrong order for the rule.
    """
    stack = np.asarray(stack)
    names = tuple(channels)
    chosen: tuple[str, ...]
    if stack.dtype != np.uint8 or stack.ndim not in (3, 4) or stack.shape[-3] != len(names):
        raise DataError(
            f"the RGB view needs 8-bit fields with {len(names)} channels, but these are "
            f"{stack.dtype} of shape {stack.shape}"
        )
    if names == RGB_CHANNELS:
        chosen = RGB_CHANNELS
    elif rgb is not None:
        chosen = tuple(rgb)
    elif names == RXRX1_CHANNELS:
        return rxrx1_to_rgb(stack)
    else:
        raise DataError(
            f"there is no rule how the channels {', '.join(names)} become RGB: name three of them "
            "in the dataset's `rgb`, or, for RxRx1, put them into the order "
            f"{', '.join(RXRX1_CHANNELS)}"
        )
    missing = [name for name in chosen if name not in names]
    if missing:
        raise DataError(
            f"the RGB view shows the channel {missing[0]}, which the fields lack (they have "
            f"{', '.join(names)}): correct the dataset's `rgb`"
        )
    planes = stack[..., [names.index(name) for name in chosen], :, :]
    return np.ascontiguousarray(np.moveaxis(planes, -3, -1))
