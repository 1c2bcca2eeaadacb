"""The figure of the quality of raw fields."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from morphpipe.report.figures.drawing import FLOOR_GREY, INK, REAL, STYLE, panels
from morphpipe.report.quality import MEASURES

# Points of kept fields that are drawn per channel, spread evenly over the table.
MOST_POINTS = 400
_AXES = {
    "focus": ("Focus", "slope of the power spectrum\n(log–log; right is sharper)"),
    "contrast": ("Contrast", "brightest 0.1 % above the median\n(deviations of the noise)"),
    "saturation": ("Saturation", "pixels at their maximum\n(% of the field)"),
    "debris": ("Debris", "largest very bright object\n(% of the field)"),
}
# Below these values the axis is linear, since most fields have none.
_LINEAR_TO = {"contrast": 10.0, "saturation": 0.01, "debris": 0.01}
_LIMITS = {
    "focus": ("min_focus", 1, "below"),
    "contrast": ("min_contrast", 1, "below"),
    "saturation": ("max_saturation", 100, "above"),
    "debris": ("max_debris", 100, "above"),
}


def _scale(axes: Axes, measure: str, largest: float) -> None:
    if measure not in _LINEAR_TO:
        return
    threshold = _LINEAR_TO[measure]
    axes.set_xscale("symlog", linthresh=threshold, linscale=0.5)
    powers = 10.0 ** np.arange(np.log10(threshold), np.ceil(np.log10(max(largest, threshold))) + 1)
    ticks = [0.0, *powers[:: 1 if len(powers) < 5 else 2]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-threshold * 0.25, max(largest, threshold) * 1.6)


def _draw_limit(axes: Axes, measure: str, limits: Mapping[str, float]) -> bool:
    name, factor, side = _LIMITS[measure]
    if name not in limits:
        return False
    limit = limits[name] * factor
    low, high = axes.get_xlim()
    low, high = min(low, limit - 0.05 * abs(limit)), max(high, limit * 1.6)
    axes.axvline(limit, color=INK, ls="--", lw=1)
    ends = (low, limit) if side == "below" else (limit, high)
    axes.axvspan(*ends, color=FLOOR_GREY, alpha=0.25, lw=0)
    axes.set_xlim(low, high)
    return True


@mpl.rc_context(STYLE)
def figure_quality(
    points: pd.DataFrame, limits: Mapping[str, float], channels: Sequence[str] | None = None
) -> Figure:
    """Focus, contrast, saturation and debris of raw fields: a panel each, a line per channel.

    Parameters
    ----------
    points
        From `morphpipe.report.quality.quality_points`, not empty.
    limits
        Those that are set, by name (`morphpipe.config.preprocessing.Quality.limits`).
    channels
        Order of the lines; none: as the points come.
    """
    names = list(channels or dict.fromkeys(points["channel"]))
    measures = [m for m in MEASURES if (points["measure"] == m).any()]
    titles = [_AXES[measure][0] for measure in measures]
    figure, grid = panels(titles, 10, 1.15 + 0.36 * len(names), 4, sharey=True)
    # Only spreads the points; the same at every run.
    jitter = np.random.default_rng(0)
    has_limit = False
    for axes, measure in zip(grid, measures, strict=True):
        here = points[points["measure"] == measure]
        for line, channel in enumerate(names):
            of = here[here["channel"] == channel]
            kept, aside = of.loc[of["kept"], "value"], of.loc[~of["kept"], "value"]
            if len(kept):
                rows = np.linspace(0, len(kept) - 1, min(MOST_POINTS, len(kept))).astype(int)
                spread = line + jitter.uniform(-0.28, 0.28, len(rows))
                axes.plot(kept.iloc[rows], spread, "o", ms=3, mec="none", color=REAL, alpha=0.45,
                          rasterized=True)  # fmt: skip
                axes.plot([kept.median()] * 2, [line - 0.36, line + 0.36], color=INK, lw=1.5)
            rows = np.linspace(0, len(aside) - 1, min(MOST_POINTS, len(aside))).astype(int)
            spread = line + jitter.uniform(-0.28, 0.28, len(rows))
            axes.plot(aside.iloc[rows], spread, "x", ms=5, mew=1.1, color=INK)
        _scale(axes, measure, float(here["value"].max()))
        has_limit |= _draw_limit(axes, measure, limits)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel(_AXES[measure][1])
    handles: list[Any] = [
        Line2D([], [], ls="", marker="o", color=REAL, mec="none", ms=4.5, label="kept"),
        Line2D([], [], color=INK, lw=1.5, ls="", marker="|", ms=9, mew=1.5, label="their median"),
    ]
    if not points["kept"].all():
        handles.append(
            Line2D([], [], ls="", marker="x", color=INK, ms=5, mew=1.1, label="excluded")
        )
    if has_limit:
        handles.append(Line2D([], [], ls="--", color=INK, lw=1, label="limit"))
        handles.append(Patch(color=FLOOR_GREY, alpha=0.35, lw=0, label="beyond it"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure
