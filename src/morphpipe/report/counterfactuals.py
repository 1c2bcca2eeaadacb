"""The page of counterfactuals: start fields beside what a generator makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from morphpipe.report.figures.composite import (
    WINDOW_PERCENTILE,
    composite,
    composite_channels,
    stretched,
    white_levels,
)
from morphpipe.report.figures.thumbnails import shrunk
from morphpipe.report.html import resource, template_environment
from morphpipe.report.page_files import EmbeddedFiles
from morphpipe.report.tables import Cell, Table, number
from morphpipe.tables.manifest import ChannelManifest

MOST_SHOWN = 24
"""Start fields on the page; the archive has all of them."""

# Fine structures are what a treatment changes: larger than elsewhere.
_LONGEST_SIDE = 320
_COLOURS = ("red", "green", "blue")
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """One start field with what was made of it, uint8 [C, H, W] each."""

    field_id: str
    label: str
    start: Image
    reconstructed: Image
    treated: Image


@dataclass(frozen=True)
class Differences:
    """Mean absolute differences, grey values of 255, float64 [n, C] each.

    Attributes
    ----------
    encoded, reconstructed, treated
        Of the start field and itself through the autoencoder, as reconstructed, as treated.
    effect
        Of the reconstructed and the treated field.
    apart
        Of each start field and the one before it, [n - 1, C].
    """

    encoded: NDArray[np.float64]
    reconstructed: NDArray[np.float64]
    treated: NDArray[np.float64]
    effect: NDArray[np.float64]
    apart: NDArray[np.float64]


@dataclass(frozen=True)
class CounterfactualPage:
    """What the page says.

    Attributes
    ----------
    treatment
        In words.
    from_images
        Whether the generator starts from images; otherwise it went back to noise.
    guidance
        Scale; 1 is off.
    fields
        Number of start fields.
    pairs
        Those that are shown.
    differences
        Of all fields.
    manifest
        Of the channels of the pictures.
    facts
        How it was made, by name.
    notes
        What the reader should know of this run, in sentences.
    """

    treatment: str
    from_images: bool
    guidance: float
    fields: int
    pairs: Sequence[Pair]
    differences: Differences
    manifest: ChannelManifest
    facts: Mapping[str, str]
    notes: Sequence[str]


def mean_difference(one: Image, other: Image) -> NDArray[np.float64]:
    """Mean absolute difference of images [n, C, H, W] by field and channel, float64 [n, C]."""
    return np.abs(one.astype(np.int16) - other).mean(axis=(2, 3), dtype=np.float64)


def reading(differences: Differences) -> list[str]:
    """What the differences say, in sentences."""
    treated, lost = differences.treated.mean(), differences.reconstructed.mean()
    said = [
        f"The treated fields differ from their start by {number(treated)} grey values of 255 on "
        f"average, reconstructions under their own label by {number(lost)}"
        + (f" ({number(treated / lost)} times less)." if lost > 0 else ".")
    ]
    if treated < 2 * lost:
        said.append(
            "That is little more than what the way there and back loses: hardly anything that is "
            "seen in the treated fields is the treatment."
        )
    if len(differences.apart):
        apart = differences.apart.mean()
        said.append(f"Two different start fields differ by {number(apart)}.")
        if treated > apart:
            said.append(
                "The treated fields are no nearer to their start than another field is: do not "
                "take them for the same cells."
            )
    return said


def difference_table(differences: Differences, channels: Sequence[str]) -> Table:
    """Mean absolute differences over fields, by channel, with the smallest and largest field."""

    def cell(values: NDArray[np.float64]) -> Cell:
        low, high = values.min(), values.max()
        return Cell(
            number(values.mean()),
            "number",
            f"{number(low)} to {number(high)}",
            float(values.mean()),
        )

    rows = []
    for name, values in (
        ("start, and itself through the autoencoder", differences.encoded),
        ("start, and reconstruction", differences.reconstructed),
        ("start, and treated", differences.treated),
        ("reconstruction, and treated", differences.effect),
        ("a start field, and another one", differences.apart),
    ):
        if len(values):
            by_channel = [cell(values[:, [i]]) for i in range(len(channels))]
            rows.append((Cell(name), cell(values.mean(axis=1, keepdims=True)), *by_channel))
    headers = ("between", "all channels", *channels)
    return Table(
        "Mean absolute difference in grey values of 255; below, the least and the most of a field.",
        tuple(Cell(name, "number" if i else "text") for i, name in enumerate(headers)),
        tuple(rows),
        "differences",
    )


def _colours(manifest: ChannelManifest) -> str:
    names = composite_channels(manifest)
    if len(names) == 1:
        return f"{names[0]} in grey"
    return ", ".join(f"{name} {c}" for name, c in zip(names, _COLOURS, strict=False))


def counterfactual_page(page: CounterfactualPage) -> str:
    """The page as one HTML document that loads nothing from anywhere."""
    manifest = page.manifest
    white = white_levels([pair.start for pair in page.pairs], manifest)
    changes = [
        np.abs(pair.treated.astype(np.int16) - pair.reconstructed).mean(axis=0)
        for pair in page.pairs
    ]
    most = max(float(np.percentile(changes, WINDOW_PERCENTILE)), 1.0)

    def small(pixels: Image) -> Image:
        return shrunk(pixels, _LONGEST_SIDE)

    rows = [
        (
            pair,
            [
                (name, small(composite(stack, manifest, white)))
                for name, stack in _sides(pair, page.treatment)
            ]
            + [("treated less reconstruction", small(stretched(change, most)))],
        )
        for pair, change in zip(page.pairs, changes, strict=True)
    ]
    first = page.pairs[0]
    planes = [
        (name, [small(stretched(plane, white[c])) for c, plane in zip(white, stack, strict=True)])
        for name, stack in _sides(first, page.treatment)
    ]
    environment = template_environment()
    environment.globals |= {"files": EmbeddedFiles()}
    return environment.get_template("counterfactuals.html.j2").render(
        page=page,
        rows=rows,
        first=first,
        planes=planes,
        reading=reading(page.differences),
        table=difference_table(page.differences, manifest.names),
        colours=_colours(manifest),
        change_white=number(most),
        style=Markup(resource("style.css")),
    )


def _sides(pair: Pair, treatment: str) -> list[tuple[str, Image]]:
    return [
        ("start", pair.start),
        ("reconstruction", pair.reconstructed),
        (treatment, pair.treated),
    ]
