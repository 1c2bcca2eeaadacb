"""Figures of images, distances, probes, features and training: data in, figure out."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from morphpipe.report.figures.drawing import (
    CONDITIONS,
    COPY_GREEN,
    FLOOR_GREY,
    INK,
    MADE,
    REAL,
    SHUFFLED_PINK,
    STYLE,
    all_first,
    draw_interval,
    new_figure,
    panels,
)
from morphpipe.report.figures.pictures import SampleRow
from morphpipe.report.results import COPY, FLOOR, GENERATED_AT_FLOOR, SHUFFLED

_MARKS = {
    GENERATED_AT_FLOOR: ("o", MADE, "generated"),
    COPY: ("D", COPY_GREEN, "copy control (replayed training images)"),
    SHUFFLED: ("X", SHUFFLED_PINK, "shuffled control (generated, other conditions)"),
}
_REGIMES = {
    "real-real": ("trained on real", REAL, ""),
    "generated-real": ("trained on generated", MADE, ""),
    "real+generated-real": ("trained on both", "#8d6fb5", ""),
    "generated-generated": ("generated, tested on generated", MADE, "///"),
}


@mpl.rc_context(STYLE)
def figure_samples(rows: Sequence[SampleRow]) -> Figure:
    """Real (left) and generated (right) fields of each condition."""
    tiles = max((max(len(row.real), len(row.generated)) for row in rows), default=1)
    figure = new_figure(2 * tiles * 1.05 + 1.6, 1.07 * max(len(rows), 1) + 0.4)
    grid = figure.subplots(max(len(rows), 1), 2 * tiles, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, row in zip(grid, rows, strict=False):
        for start, side in ((0, row.real), (tiles, row.generated)):
            for axes, tile in zip(line[start:], side, strict=False):
                axes.imshow(tile.pixels)
        line[0].text(
            -0.1, 0.5, f"{row.cell_type}\n{row.perturbation}", ha="right", va="center",
            transform=line[0].transAxes,
        )  # fmt: skip
    grid[0, 0].set_title("real", color=REAL)
    grid[0, tiles].set_title("generated", color=MADE)
    return figure


# Columns of a training's log that are not plotted: the total is, in its parts.
_NO_LOSS = ("step", "loss", "gradient_norm", "learning_rate", "seconds")
_LOSSES = {"diffusion": "velocity"}


@mpl.rc_context(STYLE)
def figure_training(logs: Mapping[int, pd.DataFrame]) -> Figure:
    """Training losses by step, one line per training seed.

    Parameters
    ----------
    logs
        By training seed; columns `step`, and a loss or a part of it in each but those that are
        none.
    """
    known = {column: None for log in logs.values() for column in log if column not in _NO_LOSS}
    losses = [c for c in known if any(log[c].notna().any() for log in logs.values() if c in log)]
    titles = [f"{_LOSSES.get(column, column.replace('_', ' '))} loss" for column in losses]
    figure, grid = panels(titles, 9, 2.5, 2)
    styles = ("-", "--", ":", "-.")
    for axes, column in zip(grid, losses, strict=True):
        for number, (seed, log) in enumerate(sorted(logs.items())):
            axes.plot(
                log["step"], log[column], color=MADE, lw=1.4, ls=styles[number % 4],
                label=f"training seed {seed}",
            )  # fmt: skip
        axes.set_xlabel("optimizer step")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    grid[0].legend(loc="upper right")
    return figure


@mpl.rc_context(STYLE)
def figure_distances(points: pd.DataFrame, *, label: str, relative: bool) -> Figure:
    """Distance to held-out real images beside floor and controls, a panel per cell type.

    Parameters
    ----------
    points
        From `morphpipe.report.results.distance_points`, not empty.
    label
        The distance's name, for the axis.
    relative
        Whether the values are multiples of the floor.
    """
    cell_types, views = all_first(points["cell_type"]), all_first(points["view"])
    titles = ["all cell types" if c == "all" else c for c in cell_types]
    height = 0.85 + 0.42 * len(views)
    figure, grid = panels(titles, 10, height, sharex=True, sharey=True)
    for axes, cell_type in zip(grid, cell_types, strict=True):
        for row in points[points["cell_type"] == cell_type].itertuples():
            y = views.index(row.view)
            if row.comparison == FLOOR:
                ends = [row.low, row.high] if np.isfinite(row.low) else [row.value, row.value]
                axes.fill_betweenx([y - 0.42, y + 0.42], *ends, color=FLOOR_GREY, alpha=0.38, lw=0)
                axes.plot([row.value] * 2, [y - 0.42, y + 0.42], color=FLOOR_GREY, lw=1.6)
                continue
            marker, colour, _ = _MARKS[row.comparison]
            at = y + {GENERATED_AT_FLOOR: 0.0, COPY: -0.24, SHUFFLED: 0.24}[row.comparison]
            draw_interval(axes, at, row, colour)
            axes.plot(row.value, at, marker, color=colour, ms=6.5, mec="none")
        axes.set_yticks(range(len(views)), ["all channels" if v == "all" else v for v in views])
        axes.set_ylim(len(views) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
    # Once for all panels: beside each other the labels would run into one another.
    figure.supxlabel(f"{label}, multiples of the floor" if relative else label, fontsize="medium")
    if relative:
        grid[0].set_xlim(left=0)
    marks = [
        Line2D([], [], ls="", marker=m, color=c, mec="none", ms=6.5, label=name)
        for comparison, (m, c, name) in _MARKS.items()
        if (points["comparison"] == comparison).any()
    ]
    band = Patch(color=FLOOR_GREY, alpha=0.5, lw=0, label="floor: real vs real")
    figure.legend(handles=[*marks, band], loc="outside upper left", ncols=len(marks) + 1)
    return figure


@mpl.rc_context(STYLE)
def figure_probes(probes: pd.DataFrame) -> Figure:
    """Accuracy of linear probes by what they were trained on, a panel per task.

    Parameters
    ----------
    probes
        Rows of one encoder and view from `morphpipe.evaluation.core.summary.over_seeds` with the
        metric `accuracy`.
    """
    values = probes[(probes["metric"] == "accuracy") & probes["value"].notna()]
    tasks = list(dict.fromkeys(values["task"]))
    titles = [f"which {task.replace('_', ' ')}?" for task in tasks]
    figure, grid = panels(titles, 9, 2.15, 2, sharey=True)
    regimes = [name for name in _REGIMES if (values["regime"] == name).any()]
    for axes, task in zip(grid, tasks, strict=True):
        here = values[values["task"] == task]
        for row in here[here["regime"].isin(regimes)].itertuples():
            y = regimes.index(row.regime)
            _, colour, hatch = _REGIMES[row.regime]
            axes.barh(
                y, row.value, height=0.62, color="none" if hatch else colour,
                edgecolor=colour, hatch=hatch, lw=1,
            )  # fmt: skip
            if np.isfinite(row.ci_low) and np.isfinite(row.ci_high):
                axes.plot([row.ci_low, row.ci_high], [y, y], color=INK, lw=1.4)
            axes.text(0.02, y, f"{row.value:.2f}", va="center", color="white", fontweight="bold",
                      bbox={"fc": "#1d232a", "ec": "none", "alpha": 0.55, "pad": 1.5})  # fmt: skip
        chance = here["chance"].max()
        if np.isfinite(chance):
            axes.axvline(chance, color=INK, ls="--", lw=1)
            axes.text(chance, -0.62, f" chance {chance:.2f}", va="center", fontsize=8)
        axes.set_yticks(range(len(regimes)), [_REGIMES[name][0] for name in regimes])
        axes.set_ylim(len(regimes) - 0.5, -0.85)
        axes.set_xlim(0, 1)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("accuracy")
    return figure


@mpl.rc_context(STYLE)
def figure_pca(points: pd.DataFrame, explained: tuple[float, float]) -> Figure:
    """Principal components of real and of generated images, a panel per cell type.

    Parameters
    ----------
    points
        Columns cell_type, perturbation, origin, first, second
        (`morphpipe.report.results.principal_components`).
    explained
        Share of the real images' variance along the two axes.
    """
    cell_types = list(dict.fromkeys(points["cell_type"]))
    names = list(dict.fromkeys(points["perturbation"]))
    colours = {name: CONDITIONS[i] for i, name in enumerate(names[: len(CONDITIONS)])}
    # All others in one go, below: there may be a thousand.
    points = points.assign(colour=points["perturbation"].map(colours).fillna(FLOOR_GREY))
    order = dict.fromkeys([FLOOR_GREY, *colours.values()])
    figure, grid = panels(cell_types, 10, 3.6, sharex=True, sharey=True)
    for axes, cell_type in zip(grid, cell_types, strict=True):
        here = points[points["cell_type"] == cell_type]
        for colour in order:
            for origin, marker, size in (("real", "o", 34), ("generated", "x", 22)):
                part = here[(here["colour"] == colour) & (here["origin"] == origin)]
                axes.scatter(
                    part["first"], part["second"], s=size, marker=marker, alpha=0.75,
                    color=colour, lw=0 if origin == "real" else 1.1,
                    rasterized=len(points) > 4000,
                )  # fmt: skip
        axes.set_xlabel(f"first component ({explained[0]:.0%})")
        axes.set_ylabel(f"second component ({explained[1]:.0%})")
        axes.grid()
        axes.set_axisbelow(True)
    handles: list[Any] = [
        Line2D([], [], ls="", marker="o", color=INK, mec="none", label="real"),
        Line2D([], [], ls="", marker="x", color=INK, label="generated"),
    ]
    handles += [Patch(color=colour, lw=0, label=name) for name, colour in colours.items()]
    if len(names) > len(colours):
        handles.append(Patch(color=FLOOR_GREY, lw=0, label=f"{len(names) - len(colours)} others"))
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 7))
    return figure
