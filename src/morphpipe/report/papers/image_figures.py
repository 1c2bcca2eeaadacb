"""Figures of images: MorphGen's 1, 2 and 13 to 16, MorphoDiff's 2 and 6."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.report.papers.drawing import STYLE, new_figure
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.labels import CELL_TYPES, no_stand_in
from morphpipe.report.papers.pictures import ImageSource, read_images
from morphpipe.report.papers.run import PaperRun

Notes = list[str]
# Figure 1: which pairs the paper shows is not said; one for each cell type here.
_PAIRS = (("HEPG2", "1108"), ("HUVEC", "1124"), ("RPE", "1137"), ("U2OS", "1138"))
_CONTROL = ("HEPG2", "1138")
SAMPLES = 4
# One compound for each of the six mechanisms of the 14-compound experiment.
_MECHANISMS = {
    "az138": "Eg5 inhibitors",
    "az258": "Aurora kinase inhibitors",
    "cytochalasin-b": "actin disruptors",
    "pp-2": "epithelial",
    "vincristine": "microtubule destabilizers",
    "taxol": "microtubule stabilizers",
}
_TILE = 1.45  # inches


@mpl.rc_context(STYLE)
def grid(
    pictures: Sequence[Sequence[NDArray[np.uint8] | None]],
    rows: Sequence[str],
    columns: Sequence[str],
) -> Figure:
    """Pictures in rows and columns; None leaves a place empty.

    Parameters
    ----------
    pictures
        uint8 [H, W] or [H, W, 3], by row and column.
    rows, columns
        Their labels.
    """
    figure = new_figure(_TILE * len(columns) + 0.6, _TILE * len(rows) + 0.35)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, label, shown in zip(axes, rows, pictures, strict=True):
        for place, picture in zip(line, [*shown, *[None] * len(columns)], strict=False):
            _show(place, picture)
        line[0].set_ylabel(label)
    for place, label in zip(axes[0], columns, strict=True):
        place.set_title(label)
    return figure


def _show(axes: Axes, picture: NDArray[np.uint8] | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if picture is None:
        axes.text(0.5, 0.5, "no image", ha="center", va="center", transform=axes.transAxes)
    else:
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)


def image_source(run: PaperRun, facts: ExperimentFacts) -> ImageSource:
    """The images of an experiment."""
    files = run.paths(facts.name, "images")
    return read_images(
        files["fields"], files["split"], files["samples"], recursion=facts.origin.recursion_colours
    )


def experiment_in(run: PaperRun, paper: str, role: str) -> ExperimentFacts:
    """The experiment in a role, or DataError where it is empty."""
    facts = run.experiment(role, paper)
    if facts is None:
        raise DataError(f"this run has no experiment in the role {role}")
    return facts


def _condition(run: PaperRun, cell_type: str, perturbation: str) -> tuple[str, str]:
    """The run's condition for a paper's pair, or DataError with the reason."""
    names = run.papers.morphgen.names
    found = names.cell_type(cell_type), names.perturbation(perturbation)
    if found[0] is None or found[1] is None:
        raise DataError(no_stand_in("condition", f"{cell_type}, {perturbation}"))
    return found[0], found[1]


def figure_1(run: PaperRun, notes: Notes) -> Figure:
    """Real images above, generated ones below."""
    source = image_source(run, experiment_in(run, "morphgen", "model"))
    pairs = []
    for pair in _PAIRS:
        try:
            pairs.append(_condition(run, *pair))
        except DataError as error:
            notes.append(f"{error}.")
    if not pairs:
        raise DataError("this run has none of the figure's conditions")
    real = [source.real_images(*pair, 1) for pair in pairs]
    source.white([image for images in real for image in images])
    made = [source.generated_images(*pair, 1) for pair in pairs]
    notes.append(source.colours)
    return grid(
        [_coloured(source, real, False), _coloured(source, made, True)],
        ["real", "generated"],
        ["\n".join(pair) for pair in pairs],
    )


def _coloured(
    source: ImageSource, images: Sequence[Sequence[NDArray[Any]]], generated: bool
) -> list[NDArray[np.uint8] | None]:
    """The first of each list in colour."""
    return [source.colour(found[0], generated=generated) if found else None for found in images]


def figure_2(run: PaperRun, notes: Notes) -> Figure:
    """Each channel of a real and of a generated control, in one window."""
    source = image_source(run, experiment_in(run, "morphgen", "model"))
    condition = _condition(run, *_CONTROL)
    real, made = source.real_images(*condition, 1), source.generated_images(*condition, 1)
    if not real or not made:
        raise DataError(f"there is no real or no generated image of {' / '.join(condition)}")
    names = source.real.manifest.names
    if source.generated[0].manifest.names != names:
        raise DataError("the generated images have other channels than the real ones")
    source.white(real)
    notes.append(
        f"{' / '.join(condition)}. Each channel in one window on both sides: white is the 99.5 "
        "percentile of the real field."
    )
    lines = [
        [source.grey(plane, name) for plane, name in zip(images[0], names, strict=True)]
        for images in (real, made)
    ]
    return grid(lines, ["real", "generated"], names)


def generated_grid(perturbation: str) -> Callable[[PaperRun, Notes], Figure]:
    """Figures 13 to 16: a row for each cell type, four samples each."""

    def draw(run: PaperRun, notes: Notes) -> Figure:
        source = image_source(run, experiment_in(run, "morphgen", "model"))
        conditions = []
        for label in CELL_TYPES:
            try:
                conditions.append(_condition(run, label, perturbation))
            except DataError as error:
                notes.append(f"{error}.")
        if not conditions:
            raise DataError(no_stand_in("perturbation", perturbation))
        source.white([i for c in conditions for i in source.real_images(*c, SAMPLES)])
        pictures = [
            [source.colour(i, generated=True) for i in source.generated_images(*c, SAMPLES)]
            for c in conditions
        ]
        notes.append(source.colours)
        columns = [str(i + 1) for i in range(SAMPLES)]
        return grid(pictures, [cell_type for cell_type, _ in conditions], columns)

    return draw


def compounds(chosen: Sequence[str], samples: int) -> Callable[[PaperRun, Notes], Figure]:
    """MorphoDiff's figures 2 and 6: real images, the model's and the baseline's, by compound."""

    def draw(run: PaperRun, notes: Notes) -> Figure:
        facts, baseline = experiment_in(run, "morphodiff", "bbbc021_14"), run.baseline("bbbc021_14")
        assert baseline is not None
        model, other = image_source(run, facts), image_source(run, baseline)
        cell_type = sorted(set(model.real.keys()["cell_type"]))[0]
        shown: dict[str, list[NDArray[Any]]] = {}
        for compound in chosen:
            name = run.papers.morphodiff.names.perturbation(compound)
            if name is None:
                notes.append(f"{no_stand_in('compound', compound)}.")
                continue
            shown[name] = model.real_images(cell_type, name, samples)
            if name == compound and compound in _MECHANISMS:
                notes.append(f"{name}: {_MECHANISMS[compound]}.")
        columns: list[str] = []
        lines: list[list[NDArray[np.uint8] | None]] = [[], [], []]
        for source in (model, other):
            source.white([image for images in shown.values() for image in images])
        for name, real in shown.items():
            for line, source, images, generated in (
                (lines[0], model, real, False),
                (lines[1], model, model.generated_images(cell_type, name, samples), True),
                (lines[2], other, other.generated_images(cell_type, name, samples), True),
            ):
                found = [source.colour(image, generated=generated) for image in images]
                line += [*found, *[None] * (samples - len(found))]
            columns += [name, *[""] * (samples - 1)]
        if not columns:
            raise DataError("this run has none of the figure's compounds")
        notes.append(model.colours)
        return grid(lines, ["real", "MorphoDiff", "Stable Diffusion"], columns)

    return draw


morphodiff_2 = compounds(tuple(_MECHANISMS), 1)
morphodiff_6 = compounds(("cytochalasin-b",), 4)
