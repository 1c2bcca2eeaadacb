"""Selection of the fields to show, and their rendering.

Nothing is hand-picked: it shows the first site of the first held-out wells, and the first samples
of the first seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphpipe.imaging.rgb import RGB_CHANNELS, RXRX1_CHANNELS, rxrx1_to_rgb, to_rgb
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures.composite import (
    WINDOW_PERCENTILE,
    composite,
    composite_channels,
    stretched,
    white_levels,
)
from morphpipe.report.figures.thumbnails import shrunk
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import ChannelManifest

PER_CONDITION = 4
# A report on many experiments shows fewer fields of each, so that it stays small enough to send.
PER_CONDITION_OF_MANY, MANY_EXPERIMENTS = 2, 5
MOST_CELL_TYPES = 4
MOST_PERTURBATIONS = 6
_WINDOW_FIELDS = 32
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Tile:
    """One picture: uint8 [H, W] or [H, W, 3], and the field it shows."""

    field_id: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class SampleRow:
    """One condition: real and generated fields side by side."""

    cell_type: str
    perturbation: str
    real: tuple[Tile, ...]
    generated: tuple[Tile, ...]


@dataclass(frozen=True)
class ChannelRow:
    """One field of a condition, channel by channel, each in the same window on both sides."""

    cell_type: str
    perturbation: str
    channels: tuple[str, ...]
    real: tuple[Tile, ...]
    generated: tuple[Tile, ...]


def fields_per_condition(experiments: int) -> int:
    """How many fields a side of each condition are shown, by the number of experiments."""
    return PER_CONDITION if experiments < MANY_EXPERIMENTS else PER_CONDITION_OF_MANY


def display_windows(evidence: Evidence) -> dict[str, float]:
    """Grey value of each channel that is shown as white.

    The 99.5th percentile of the channel over at most 32 held-out real fields, spread evenly
    over the table; generated images are shown in the same window.
    """
    fields = evidence.test_fields
    rows = np.unique(np.linspace(0, len(fields) - 1, min(_WINDOW_FIELDS, len(fields))).astype(int))
    with FieldReader(fields) as reader:
        return white_levels([reader.read(int(row)) for row in rows], fields.manifest)


def uses_recursion_table(evidence: Evidence) -> bool:
    """Whether colours follow Recursion's table, which was made for RxRx1's own grey values.

    Other plates with the same stains, and the simulated screen, are brighter than its limits and
    would saturate.
    """
    manifest = evidence.real.manifest
    return (
        evidence.dataset.recursion_colours
        and manifest.names == RXRX1_CHANNELS
        and manifest.bit_depth == 8
    )


def shown_as_trained(evidence: Evidence) -> bool:
    """Whether real fields are shown by the rule that made the generator's RGB training images."""
    return evidence.experiment.image_mode == "rgb"


def to_colour(
    stack: NDArray[np.generic],
    manifest: ChannelManifest,
    windows: Mapping[str, float],
    evidence: Evidence,
) -> NDArray[np.uint8]:
    """Show one field in colour, real and generated ones by one rule.

    Parameters
    ----------
    stack
        uint8 or uint16 [C, H, W].
    manifest
        Of its channels.
    windows
        Grey value shown as white, by channel of the real images.
    evidence
        Where the generator makes RGB images, and for RxRx1, real fields are shown by
        `morphpipe.imaging.rgb.to_rgb`; otherwise by `morphpipe.report.figures.composite`. Images
        that are RGB already stay as they are.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W, 3].
    """
    if manifest.names == RGB_CHANNELS:
        return to_rgb(stack, manifest.names)
    if shown_as_trained(evidence):
        return to_rgb(stack, manifest.names, manifest.rgb)
    if uses_recursion_table(evidence) and manifest.names == RXRX1_CHANNELS:
        return rxrx1_to_rgb(np.asarray(stack, dtype=np.uint8))
    return composite(stack, manifest, windows)


def colour_note(evidence: Evidence) -> str:
    """Describe the colours of the images."""
    manifest = evidence.real.manifest
    if manifest.names == RGB_CHANNELS:
        return "The images are RGB, and shown as they are."
    if shown_as_trained(evidence) and manifest.rgb is not None:
        shown = ", ".join(f"{name} {c}" for name, c in zip(manifest.rgb, _COLOURS, strict=True))
        return f"Colours are those of the training images: {shown}."
    if shown_as_trained(evidence) or uses_recursion_table(evidence):
        return "Colours follow Recursion's table for RxRx1's six stains."
    names = composite_channels(manifest)
    scaled = f"scaled so that the {WINDOW_PERCENTILE} percentile of the real held-out images"
    if len(names) == 1:
        return f"Fields have the single channel {names[0]}, shown as grey and {scaled} is white."
    shown = ", ".join(f"{name} {colour}" for name, colour in zip(names, _COLOURS, strict=False))
    return f"Colours are for display only: {shown}; each channel {scaled} is white."


def real_choice(keys: pd.DataFrame, condition: tuple[str, str], most: int) -> list[int]:
    """Positions, in `keys`, of the first site of the first wells of a condition."""
    mask = (keys["cell_type"] == condition[0]) & (keys["perturbation"] == condition[1])
    chosen = keys[mask].sort_values(["site", "field_id"], na_position="last")
    return [int(i) for i in chosen.index[:most]]


def generated_choice(
    keys: pd.DataFrame, condition: tuple[str, str], most: int
) -> list[tuple[int, int]]:
    """Archive and position in it of the first samples of the first seeds of a condition.

    Parameters
    ----------
    keys
        `Evidence.generated_keys`.
    """
    mask = (keys["cell_type"] == condition[0]) & (keys["perturbation"] == condition[1])
    order = ["training_seed", "sampling_seed", "sample_index", "field_id"]
    chosen = keys[mask].sort_values(order).head(most)
    return [(int(a), int(r)) for a, r in zip(chosen["archive"], chosen["row"], strict=True)]


def shown_conditions(evidence: Evidence) -> list[tuple[str, str]]:
    """The generated conditions that are shown: the first cell types and perturbations."""
    made = set(
        zip(
            evidence.generated_keys["cell_type"],
            evidence.generated_keys["perturbation"],
            strict=True,
        )
    )
    return [
        (cell_type, perturbation)
        for cell_type in evidence.cell_types[:MOST_CELL_TYPES]
        for perturbation in evidence.perturbations[:MOST_PERTURBATIONS]
        if (cell_type, perturbation) in made
    ]


def sample_rows(
    evidence: Evidence,
    windows: dict[str, float],
    per_condition: int = PER_CONDITION,
    *,
    like: Evidence | None = None,
) -> list[SampleRow]:
    """Real and generated fields of every condition that is shown, in colour.

    With `like`, the colours are those of another experiment, as far as the channels are the same.
    """
    fields = evidence.test_fields
    keys = fields.keys()

    def tile(source: FieldTable, reader: FieldReader, row: int) -> Tile:
        same = like is not None and source.manifest.names == like.real.manifest.names
        rule = like if like is not None and same else evidence
        colour = to_colour(reader.read(row), source.manifest, windows, rule)
        return Tile(source.field_ids[row], shrunk(colour))

    rows = []
    readers = [FieldReader(part) for part in evidence.generated]
    try:
        with FieldReader(fields) as real_reader:
            for condition in shown_conditions(evidence):
                real = [
                    tile(fields, real_reader, row)
                    for row in real_choice(keys, condition, per_condition)
                ]
                made = [
                    tile(evidence.generated[archive], readers[archive], row)
                    for archive, row in generated_choice(
                        evidence.generated_keys, condition, per_condition
                    )
                ]
                rows.append(SampleRow(*condition, tuple(real), tuple(made)))
    finally:
        for reader in readers:
            reader.close()
    return rows


def channel_rows(evidence: Evidence, windows: dict[str, float]) -> list[ChannelRow]:
    """The first shown perturbation of every shown cell type, one field a side, as grey planes.

    Empty where the generated images have other channels than the real ones.
    """
    names = evidence.real.manifest.names
    if any(part.manifest.names != names for part in evidence.generated):
        return []
    fields = evidence.test_fields
    keys = fields.keys()
    first: dict[str, str] = {}
    for cell_type, perturbation in shown_conditions(evidence):
        first.setdefault(cell_type, perturbation)
    rows = []
    for condition in first.items():
        real = real_choice(keys, condition, 1)
        made = generated_choice(evidence.generated_keys, condition, 1)
        if not real or not made:
            continue
        archive, row = made[0]
        sides = []
        for source, position in ((fields, real[0]), (evidence.generated[archive], row)):
            with FieldReader(source) as reader:
                stack = reader.read(position)
            sides.append(
                tuple(
                    Tile(source.field_ids[position], shrunk(stretched(plane, windows[name])))
                    for name, plane in zip(names, stack, strict=True)
                )
            )
        rows.append(ChannelRow(*condition, names, sides[0], sides[1]))
    return rows
