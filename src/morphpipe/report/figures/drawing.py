"""How the report's figures are drawn: colours, panels, and SVG for the page."""

import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart by all common kinds of colour vision (Okabe and Ito's hues, bright enough for both a
# white and a dark page), and by marker as well.
REAL, MADE, FLOOR_GREY = "#2b83c6", "#e0701b", "#9aa4ae"
COPY_GREEN, SHUFFLED_PINK = "#1f9e77", "#c45f9b"
CONDITIONS = ("#8a929a", "#2b83c6", "#e69f00", "#1f9e77", "#d55e00", "#c45f9b", "#6a5acd")
INK, RULE = "#1d2329", "#d9dee3"
# Of what is drawn as pixels inside an SVG, many points for instance.
_RASTER_DPI = 200
STYLE: dict[str, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "grid.color": RULE, "grid.linewidth": 0.7, "legend.frameon": False,
    "text.parse_math": False, "svg.fonttype": "none",
}  # fmt: skip
# For figures outside the report's pages, which are on white.
PRINT_STYLE: dict[str, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 8,
    "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.6, "legend.frameon": False,
    "text.parse_math": False, "pdf.fonttype": 42,
}  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(
    titles: Sequence[str],
    width: float,
    height: float,
    columns: int = 3,
    *,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel per title, in rows of at most `columns`."""
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    figure = new_figure(width, height * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    for axes in grid[len(titles) :]:
        axes.remove()
    return figure, list(grid[: len(titles)])


def all_first(values: pd.Series) -> list[str]:
    """Unique values in their order, `all` before the others."""
    found = list(dict.fromkeys(values))
    return [v for v in found if v == "all"] + [v for v in found if v != "all"]


def draw_interval(axes: Axes, y: float, row: Any, colour: str) -> None:
    """A line from `row.low` to `row.high`; without a high end an arrow to the right edge."""
    if not np.isfinite(row.low):
        return
    high = row.high if np.isfinite(row.high) else row.value
    axes.plot([row.low, high], [y, y], color=colour, lw=1.6, solid_capstyle="butt")
    if not np.isfinite(row.high):
        axes.annotate(
            "", xy=(1, y), xycoords=("axes fraction", "data"), xytext=(row.value, y),
            arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.6},
        )  # fmt: skip


@mpl.rc_context(STYLE)
def figure_absent(reason: str) -> Figure:
    """A figure that says why there is none."""
    figure = new_figure(9, 0.7)
    figure.text(0.01, 0.5, reason, va="center")
    return figure


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as SVG for the page: text stays text, ink and grid follow the page's colours.

    Parameters
    ----------
    name
        Unique on the page; letters, digits and hyphens. Keeps the ids of figures apart.
    """
    # The layout takes as long as drawing, and the figure is drawn once more for each format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    buffer = StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "text.parse_math": False}):
        figure.savefig(
            buffer, format="svg", transparent=True, dpi=_RASTER_DPI,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )  # fmt: skip
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\bid=\"", f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"href=\"#", f'href="#{name}-', svg)
    svg = svg.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    # Size comes from the page; the drawing keeps its proportions.
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} aria-hidden="true" focusable="false">{rest}'
