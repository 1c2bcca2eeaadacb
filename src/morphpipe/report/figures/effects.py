"""The figure of treatment effects."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from morphpipe.datasets.simulated.programmes import Programme
from morphpipe.report.figures.drawing import (
    FLOOR_GREY,
    INK,
    MADE,
    REAL,
    RULE,
    STYLE,
    all_first,
    draw_interval,
    panels,
)

# Room between groups of perturbations, in lines.
_GAP = 0.35


def _places(
    effects: pd.Series, truth: Mapping[str, float], series: Sequence[Programme]
) -> tuple[dict[str, float], list[float]]:
    """The height of each perturbation, and of the lines between groups.

    Parameters
    ----------
    effects
        Mean effect by perturbation, for the order where no truth is known.
    truth
        True effects; empty for real data, which are one group.
    series
        Programmes of several strengths, a group each.
    """
    rest = sorted(effects.index, key=lambda name: effects[name])
    groups = []
    if truth:
        groups = [[name for name in rest if truth.get(name) == 0]]
        groups += [[name for name in p.members if name in effects.index] for p in series]
        placed = {name for group in groups for name in group}
        groups += [[name] for name in rest if name not in placed]
    else:
        groups = [rest]
    places: dict[str, float] = {}
    borders: list[float] = []
    height = 0.0
    for group in [group for group in groups if group]:
        if places:
            borders.append(height - 0.5 + _GAP / 2)
            height += _GAP
        for name in group:
            places[name] = height
            height += 1
    return places, borders


def _draw_truth(
    axes: Axes,
    real: pd.Series,
    truth: Mapping[str, float],
    series: Sequence[Programme],
    places: Mapping[str, float],
) -> None:
    """True effects: scaled within each series, and zeros, which are zero in any unit."""
    at = {name: 0.0 for name, value in truth.items() if value == 0 and name in places}
    for programme in series:
        names = [n for n in programme.members if n in real.index and truth.get(n, 0) > 0]
        if len(names) > 1:
            largest = max(names, key=lambda name: truth[name])
            top = real[names].max() / truth[largest]
            at |= {name: truth[name] * top for name in names}
    heights = [places[name] for name in at]
    axes.plot(list(at.values()), heights, "d", color=INK, mfc="none", ms=10, mew=0.9, zorder=1)


@mpl.rc_context(STYLE)
def figure_effects(
    effects: pd.DataFrame,
    true_effects: Mapping[str, Mapping[str, float]] | None = None,
    programmes: Sequence[Programme] = (),
) -> Figure:
    """Treatment effects of real and of generated images, a panel per cell type.

    Parameters
    ----------
    effects
        Rows of one encoder and view from `morphpipe.evaluation.core.summary.over_seeds`: metric
        `cate` with comparison `real`, `generated` and `real-control-floor`.
    true_effects
        By cell type and perturbation, where they are known. They have another unit and compare
        within a programme only: those of a series are scaled to its largest real effect in the
        panel, those of a perturbation that stands alone in its programme are not drawn.
    programmes
        See `morphpipe.datasets.simulated.programmes`; lines in the figure set them apart.
    """
    values = effects[(effects["metric"] == "cate") & effects["value"].notna()]
    values = values.rename(columns={"ci_low": "low", "ci_high": "high"})
    shown = values[values["comparison"].isin(["real", "generated"])]
    cell_types = all_first(shown["cell_type"])
    known = true_effects or {}
    truth = {name: value for of in known.values() for name, value in of.items()}
    series = [programme for programme in programmes if programme.is_series]
    places, borders = _places(shown.groupby("perturbation")["value"].mean(), truth, series)
    bottom = max(places.values())
    titles = ["mean over cell types" if c == "all" else c for c in cell_types]
    figure, grid = panels(titles, 10, 1.27 + 0.42 * bottom, sharey=True)
    for axes, cell_type in zip(grid, cell_types, strict=True):
        here = shown[shown["cell_type"] == cell_type]
        floor = values[
            (values["comparison"] == "real-control-floor") & (values["cell_type"] == cell_type)
        ]
        if len(floor):
            axes.axvspan(0, floor["value"].max(), color=FLOOR_GREY, alpha=0.38, lw=0)
        for row in here.itertuples():
            is_real = row.comparison == "real"
            at = places[row.perturbation] + (-0.13 if is_real else 0.13)
            colour = REAL if is_real else MADE
            draw_interval(axes, at, row, colour)
            axes.plot(row.value, at, "o" if is_real else "s", color=colour, ms=6.5, mec="none")
        if known.get(cell_type):
            real = here[here["comparison"] == "real"].set_index("perturbation")["value"]
            _draw_truth(axes, real, known[cell_type], series, places)
        for border in borders:
            axes.axhline(border, color=RULE, lw=1.2)
        axes.set_yticks(list(places.values()), list(places))
        axes.set_ylim(bottom + 0.55, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=min(0, axes.get_xlim()[0]))
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("treatment effect (CATE)")
    handles: list[Any] = [
        Line2D([], [], ls="", marker="o", color=REAL, mec="none", ms=6.5, label="real"),
        Line2D([], [], ls="", marker="s", color=MADE, mec="none", ms=6.5, label="generated"),
    ]
    if (values["comparison"] == "real-control-floor").any():
        label = "floor: control vs control"
        handles.append(Patch(color=FLOOR_GREY, alpha=0.5, lw=0, label=label))
    if truth:
        label = "true, scaled within its programme" if series else "true: none"
        handles.append(Line2D([], [], ls="", marker="d", color=INK, mfc="none", ms=9, label=label))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure
