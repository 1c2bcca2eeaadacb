"""Figures of morphology: differences by family of features, correlations side by side."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from morphpipe.report.figures.drawing import FLOOR_GREY, INK, MADE, STYLE, new_figure, panels

# In the order of a cell, whole images last; others follow by name.
_COMPARTMENTS = ("Nuclei", "Cells", "Cytoplasm")
_LAST = "Image"


def compartments(found: Sequence[str]) -> list[str]:
    """Compartments from the nucleus outwards, then others by name, then whole images."""
    names = sorted(set(found))
    first = [name for name in _COMPARTMENTS if name in names]
    last = [_LAST] if _LAST in names else []
    return first + [name for name in names if name not in (*first, *last)] + last


@mpl.rc_context(STYLE)
def figure_families(differences: pd.DataFrame) -> Figure:
    """Cliff's delta of every feature, a panel per compartment, a line per family.

    Parameters
    ----------
    differences
        Columns comparison (generated-real or real-real), compartment, family and cliffs_delta,
        not empty.
    """
    names = compartments(differences["compartment"])
    families = sorted(set(differences["family"]))
    height = 0.8 + 0.3 * len(families)
    figure, grid = panels(names, 10, height, 4, sharex=True, sharey=True)
    jitter = np.random.default_rng(0)  # only spreads the points; the same at every run
    for axes, compartment in zip(grid, names, strict=True):
        here = differences[differences["compartment"] == compartment]
        for line, family in enumerate(families):
            for comparison, colour, shift in (
                ("real-real", FLOOR_GREY, -0.2),
                ("generated-real", MADE, 0.2),
            ):
                part = here[(here["family"] == family) & (here["comparison"] == comparison)]
                values = part["cliffs_delta"].dropna()
                spread = line + shift + jitter.uniform(-0.14, 0.14, len(values))
                axes.plot(
                    values, spread, "o", ms=2.6, mec="none", color=colour, alpha=0.5,
                    rasterized=True,
                )  # fmt: skip
        axes.axvline(0, color=INK, lw=0.7)
        axes.set_yticks(range(len(families)), families)
        axes.set_ylim(len(families) - 0.4, -0.6)
        axes.set_xlim(-1.05, 1.05)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
    figure.supxlabel(
        "Cliff's delta: −1 all generated values are smaller, 0 no difference, 1 all larger",
        fontsize="medium",
    )
    handles: list[Any] = [
        Line2D([], [], ls="", marker="o", color=MADE, mec="none", label="generated against real"),
        Line2D([], [], ls="", marker="o", color=FLOOR_GREY, mec="none",
               label="floor: halves of the real fields"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


@mpl.rc_context(STYLE)
def figure_correlations(pairs: pd.DataFrame) -> Figure:
    """Correlations of features in real and in generated fields side by side, on one scale.

    Parameters
    ----------
    pairs
        Columns rank_a, rank_b (from 1), feature_a, real and generated; all pairs in both orders.
    """
    names = pairs.drop_duplicates("rank_a").sort_values("rank_a")["feature_a"].tolist()
    figure = new_figure(10, 1.2 + 0.27 * len(names))
    grid = figure.subplots(1, 2, sharey=True)
    image = None
    for axes, side in zip(grid, ("real", "generated"), strict=True):
        matrix = pairs.pivot(index="rank_a", columns="rank_b", values=side).to_numpy(dtype=float)
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_title(side)
        axes.set_xticks(range(len(names)), range(1, len(names) + 1))
        axes.set_yticks(range(len(names)), [f"{n} {i}" for i, n in enumerate(names, start=1)])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    assert image is not None
    figure.colorbar(image, ax=list(grid), label="Pearson's r", shrink=0.8)
    return figure
