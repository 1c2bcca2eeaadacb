"""The figure of two experiments beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from morphpipe.report.figures.drawing import FLOOR_GREY, INK, MADE, STYLE, panels

# Lines that can still be read.
MOST_PERTURBATIONS = 40


@dataclass(frozen=True)
class Panel:
    """One distance: its title, and the pairs with columns perturbation, model, baseline, floor."""

    title: str
    pairs: pd.DataFrame


def _shown(pairs: pd.DataFrame) -> list[str]:
    """Perturbations from the largest gain to the largest loss, thinned evenly where many."""
    order = (pairs["model"] - pairs["baseline"]).sort_values(kind="stable").index
    names = pairs.loc[order, "perturbation"].tolist()
    places = np.linspace(0, len(names) - 1, min(len(names), MOST_PERTURBATIONS)).round()
    return [names[int(place)] for place in places]


@mpl.rc_context(STYLE)
def figure_comparison(drawn: Sequence[Panel], *, model: str, baseline: str) -> Figure:
    """Paired dots of a model and a baseline, a line per perturbation, a panel per distance.

    Parameters
    ----------
    drawn
        The panels, none of them empty; the first gives the order of the perturbations.
    model, baseline
        Names of the experiments.
    """
    names = _shown(drawn[0].pairs)
    height = 0.85 + 0.24 * len(names)
    figure, grid = panels([panel.title for panel in drawn], 10, height, 2, sharey=True)
    places = {name: place for place, name in enumerate(names)}
    for axes, panel in zip(grid, drawn, strict=True):
        here = panel.pairs[panel.pairs["perturbation"].isin(names)]
        for row in here.itertuples():
            y = places[row.perturbation]
            if pd.notna(row.floor):
                axes.plot([row.floor] * 2, [y - 0.38, y + 0.38], color=FLOOR_GREY, lw=3)
            axes.plot([row.baseline, row.model], [y, y], color=INK, lw=0.8, zorder=1)
            axes.plot(row.baseline, y, "o", color=INK, mfc="none", ms=6, mew=1.1)
            axes.plot(row.model, y, "s", color=MADE, mec="none", ms=6)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("distance to the real images")
    handles: list[Any] = [
        Line2D([], [], ls="", marker="s", color=MADE, mec="none", ms=6, label=model),
        Line2D([], [], ls="", marker="o", color=INK, mfc="none", mew=1.1, ms=6, label=baseline),
    ]
    if any(panel.pairs["floor"].notna().any() for panel in drawn):
        handles.append(Line2D([], [], color=FLOOR_GREY, ls="", marker="|", ms=10, mew=3,
                              label="floor: real vs real"))  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure
