"""Values of one kind beside the floor and the controls, a panel per metric."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from morphpipe.report.figures.drawing import (
    COPY_GREEN,
    FLOOR_GREY,
    MADE,
    SHUFFLED_PINK,
    STYLE,
    all_first,
    draw_interval,
    panels,
)

ROLES: Mapping[str, tuple[str, str, str]] = {
    "generated": ("o", MADE, "generated"),
    "copy": ("D", COPY_GREEN, "replayed training images"),
    "shuffled": ("X", SHUFFLED_PINK, "shuffled labels"),
}
_OFFSETS = {"generated": 0.0, "copy": -0.24, "shuffled": 0.24}


@mpl.rc_context(STYLE)
def figure_measures(points: pd.DataFrame, *, titles: Mapping[str, str], floor: str) -> Figure:
    """A panel per metric, a line per cell type; the floor is a grey band.

    Parameters
    ----------
    points
        Columns metric, cell_type, role (floor, or one of `ROLES`), value, low and high; not empty.
    titles
        Of the panels, by metric, in their order.
    floor
        What the grey band is.
    """
    metrics = [metric for metric in titles if (points["metric"] == metric).any()]
    lines = all_first(points["cell_type"])
    height = 0.75 + 0.38 * len(lines)
    figure, grid = panels([titles[m] for m in metrics], 10, height, 4, sharey=True)
    for axes, metric in zip(grid, metrics, strict=True):
        for row in points[points["metric"] == metric].itertuples():
            y = lines.index(row.cell_type)
            if row.role == "floor":
                ends = [row.low, row.high] if np.isfinite(row.low) else [row.value, row.value]
                if not np.isfinite(ends[1]):
                    ends[1] = row.value
                axes.fill_betweenx([y - 0.42, y + 0.42], *ends, color=FLOOR_GREY, alpha=0.38, lw=0)
                axes.plot([row.value] * 2, [y - 0.42, y + 0.42], color=FLOOR_GREY, lw=1.6)
                continue
            marker, colour, _ = ROLES[row.role]
            at = y + _OFFSETS[row.role]
            draw_interval(axes, at, row, colour)
            axes.plot(row.value, at, marker, color=colour, ms=6.5, mec="none")
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(lines)), ["all cell types" if c == "all" else c for c in lines])
        axes.set_ylim(len(lines) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
    handles: list[Any] = [
        Line2D([], [], ls="", marker=m, color=c, mec="none", ms=6.5, label=name)
        for role, (m, c, name) in ROLES.items()
        if (points["role"] == role).any()
    ]
    if (points["role"] == "floor").any():
        handles.append(Patch(color=FLOOR_GREY, alpha=0.5, lw=0, label=floor))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure
