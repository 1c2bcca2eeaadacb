"""Figures of images, with the first held-out fields and the first samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.table import select_side
from morphpipe.imaging.rgb import RGB_CHANNELS, RXRX1_CHANNELS, to_rgb
from morphpipe.report.figures.composite import (
    WINDOW_PERCENTILE,
    composite,
    composite_channels,
    stretched,
    white_levels,
)
from morphpipe.report.figures.drawing import PRINT_STYLE, new_figure
from morphpipe.report.figures.pictures import generated_choice, real_choice
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.items import AUTOENCODER, IMAGES
from morphpipe.report.papers.paper_figure import Labels, PaperFigure
from morphpipe.report.papers.run import PaperRun, no_counterpart
from morphpipe.report.papers.setups import PAPERS
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable

_SAMPLES = 4
_TILE = 1.45  # inches
Condition = tuple[str, str]
Picture = NDArray[np.uint8]


@dataclass
class ImageSource:
    """Real held-out and generated fields of one experiment.

    Attributes
    ----------
    real
        Table of the held-out real fields.
    generated
        Tables of the archives.
    recursion
        Whether six channels are shown by Recursion's table, made for RxRx1's own grey values.
    white
        Grey values shown as white, by channel, see `morphpipe.report.figures.composite`.
    """

    real: FieldTable
    generated: list[FieldTable]
    recursion: bool
    white: dict[str, float] = field(default_factory=dict)

    def real_images(self, condition: Condition, number: int) -> list[NDArray[Any]]:
        """The first held-out fields of a condition: [C, H, W] each."""
        with FieldReader(self.real) as reader:
            return [reader.read(row) for row in real_choice(self.real.keys(), condition, number)]

    def generated_images(self, condition: Condition, number: int) -> list[NDArray[Any]]:
        """The first samples of a condition: [C, H, W] each."""
        parts = [
            table.keys().assign(archive=archive).rename_axis("row").reset_index()
            for archive, table in enumerate(self.generated)
        ]
        images = []
        for archive, row in generated_choice(pd.concat(parts), condition, number):
            with FieldReader(self.generated[archive]) as reader:
                images.append(reader.read(row))
        return images

    def set_white(self, conditions: Sequence[Condition], number: int) -> None:
        """Show as white what is brightest in the first real fields of these conditions."""
        images = [image for of in conditions for image in self.real_images(of, number)]
        self.white = white_levels(images, self.real.manifest) if images else {}

    def pictures(
        self, conditions: Sequence[Condition], number: int, *, generated: bool
    ) -> list[Picture | None]:
        """Fields of conditions in colour, real and generated ones by one rule.

        Returns
        -------
        list
            uint8 [H, W, 3], as many of each condition as there should be, None where there are not.
        """
        manifest = (self.generated[0] if generated else self.real).manifest
        by_table = manifest.names == RXRX1_CHANNELS and self._by_table
        found: list[Picture | None] = []
        for condition in conditions:
            images = (self.generated_images if generated else self.real_images)(condition, number)
            for image in images:
                if by_table or manifest.names == RGB_CHANNELS:
                    found.append(to_rgb(image, manifest.names))
                else:
                    found.append(composite(image, manifest, self.white))
            found += [None] * (number - len(images))
        return found

    @property
    def _by_table(self) -> bool:
        """Whether six channels are shown as the generator's RGB images were made of them."""
        return self.recursion or self.generated[0].manifest.names == RGB_CHANNELS

    @property
    def colours(self) -> str:
        """Describe the colours of the images."""
        if self.real.manifest.names == RXRX1_CHANNELS and self._by_table:
            return "Colours follow Recursion's table for RxRx1's six stains."
        shown = ", ".join(composite_channels(self.real.manifest))
        return (
            f"Red, green and blue are {shown}; white is the {WINDOW_PERCENTILE} "
            "percentile of held-out real fields of the same conditions, for generated ones as well."
        )


def image_source(run: PaperRun, facts: ExperimentFacts) -> ImageSource:
    """The images of an experiment: those on the side `test` of its split, and the generated."""
    files = run.paths(facts.name, IMAGES)
    held_out = select_side(read_fields(files["fields"]), files["split"], "test")
    generated = [read_fields(path) for path in files["samples"]]
    return ImageSource(held_out, generated, facts.origin.recursion_colours)


@mpl.rc_context(PRINT_STYLE)
def _grid(
    pictures: Sequence[Sequence[Picture | None]], rows: Sequence[str], columns: Sequence[str]
) -> Figure:
    """Pictures (uint8 [H, W] or [H, W, 3]) by row and column; None leaves a place empty."""
    figure = new_figure(_TILE * len(columns) + 0.6, _TILE * len(rows) + 0.35)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, label, shown in zip(axes, rows, pictures, strict=True):
        for place, picture in zip(line, shown, strict=True):
            _show(place, picture)
        line[0].set_ylabel(label)
    for place, label in zip(axes[0], columns, strict=True):
        place.set_title(label)
    return figure


def _show(axes: Axes, picture: Picture | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if picture is None:
        axes.text(0.5, 0.5, "no image", ha="center", va="center", transform=axes.transAxes)
    else:
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)


def pairs(of: PaperFigure, pairs: Sequence[Labels]) -> Figure:
    """Conditions in columns: a real image above, a generated one below."""
    source = image_source(of.run, of.facts)
    conditions = of.conditions(pairs)
    if not conditions:
        raise DataError("this run has none of the figure's conditions")
    source.set_white(conditions, 1)
    of.notes.append(source.colours)
    lines = [source.pictures(conditions, 1, generated=generated) for generated in (False, True)]
    return _grid(lines, ["real", "generated"], ["\n".join(pair) for pair in conditions])


def channels(of: PaperFigure, cell_type: str, perturbation: str) -> Figure:
    """Each channel of a real and of a generated image, in one window."""
    source = image_source(of.run, of.facts)
    found = of.conditions([(cell_type, perturbation)])
    if not found:
        raise DataError(of.notes.pop().removesuffix("."))
    shown = " / ".join(found[0])
    real, made = source.real_images(found[0], 1), source.generated_images(found[0], 1)
    if not real or not made:
        raise DataError(f"there is no real or no generated image of {shown}")
    names = source.real.manifest.names
    if source.generated[0].manifest.names != names:
        raise DataError("the generated images have other channels than the real ones")
    source.set_white(found, 1)
    of.notes.append(
        f"{shown}. Each channel in one window on both sides: white is the 99.5 "
        "percentile of the real field."
    )
    lines = [
        [stretched(plane, source.white[name]) for plane, name in zip(images[0], names, strict=True)]
        for images in (real, made)
    ]
    return _grid(lines, ["real", "generated"], names)


def samples(of: PaperFigure, perturbation: str, cell_types: Labels) -> Figure:
    """Generated images of one perturbation: a row for each cell type, four samples each."""
    source = image_source(of.run, of.facts)
    found = of.conditions([(label, perturbation) for label in cell_types])
    if not found:
        raise DataError(no_counterpart(f"perturbation {perturbation}"))
    source.set_white(found, _SAMPLES)
    of.notes.append(source.colours)
    lines = [source.pictures([condition], _SAMPLES, generated=True) for condition in found]
    columns = [str(i + 1) for i in range(_SAMPLES)]
    return _grid(lines, [cell_type for cell_type, _ in found], columns)


def systems(of: PaperFigure, samples: int, compounds: Mapping[str, str]) -> Figure:
    """Real images, the model's and the baseline's, by compound (with its mechanism)."""
    run, item = of.run, of.item
    facts, baseline = of.facts, run.baseline(item.main_role, item.paper)
    assert baseline is not None
    model, other = image_source(run, facts), image_source(run, baseline)
    cell_type = sorted(set(model.real.keys()["cell_type"]))[0]
    shown: list[str] = []
    for compound, mechanism in compounds.items():
        name = run.of(item.paper).names.perturbation(compound)
        if name is None:
            of.notes.append(f"{no_counterpart(f'compound {compound}')}.")
            continue
        shown += [] if name in shown else [name]
        if name == compound:
            of.notes.append(f"{name}: {mechanism}.")
    if not shown:
        raise DataError("this run has none of the figure's compounds")
    conditions = [(cell_type, name) for name in shown]
    model.set_white(conditions, samples)
    other.white = model.white
    of.notes.append(model.colours)
    lines = [
        model.pictures(conditions, samples, generated=False),
        model.pictures(conditions, samples, generated=True),
        other.pictures(conditions, samples, generated=True),
    ]
    columns = [label for name in shown for label in (name, *[""] * (samples - 1))]
    return _grid(lines, ["real", PAPERS[item.paper].name, PAPERS[item.paper].baseline], columns)


def autoencoder(of: PaperFigure) -> Figure:
    """Real images before and after the autoencoder, as the generator sees them."""
    # Here, as no other item needs torch.
    import torch

    from morphpipe.autoencoders.latents import autoencoder_input
    from morphpipe.autoencoders.load import load_autoencoder

    facts = of.facts
    source, files = image_source(of.run, facts), of.run.paths(facts.name, AUTOENCODER)
    conditions = source.real.keys().drop_duplicates("perturbation").head(_SAMPLES)
    pairs = list(zip(conditions["cell_type"], conditions["perturbation"], strict=True))
    images = np.stack([source.real_images(pair, 1)[0] for pair in pairs])
    planes = autoencoder_input(images, source.real.manifest, "rgb")
    autoencoder = load_autoencoder(files["folder"], "rgb", scaling_factor=files["scaling_factor"])
    # The means of the latents: without the noise that training draws around them.
    means = autoencoder.moments(torch.from_numpy(planes))[:, 0]
    decoded = autoencoder.decode(means, 3).numpy()
    error = np.mean((planes / 255.0 - decoded / 255.0) ** 2)
    of.notes.append(f"Mean squared error of these {len(pairs)} images (0 to 1): {error:.2e}.")
    lines = [list(np.moveaxis(side, 1, -1)) for side in (planes, decoded)]
    return _grid(lines, ["real", "decoded"], [perturbation for _, perturbation in pairs])
