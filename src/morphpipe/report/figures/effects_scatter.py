"""The figure of treatment effects where perturbations are too many for a line each."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from morphpipe.report.figures.drawing import FLOOR_GREY, INK, MADE, RULE, STYLE, all_first, panels

# So many lines fill two screens.
MOST_LINES = 40
# Of the strongest real effects; more of them would cover one another.
_NAMED = 3


def paired_effects(effects: pd.DataFrame) -> pd.DataFrame:
    """Real and generated effects side by side, of perturbations that have both.

    Parameters
    ----------
    effects
        See `figure_effects_scatter`.

    Returns
    -------
    pandas.DataFrame
        Columns cell_type, perturbation, real and generated.
    """
    values = effects[(effects["metric"] == "cate") & effects["value"].notna()]
    place = ["cell_type", "perturbation"]
    real, made = (
        values.loc[values["comparison"] == side, [*place, "value"]].rename(columns={"value": side})
        for side in ("real", "generated")
    )
    return real.merge(made, on=place, how="inner", validate="one_to_one")


@mpl.rc_context(STYLE)
def figure_effects_scatter(effects: pd.DataFrame) -> Figure:
    """Generated against real treatment effects, a point each, a panel per cell type.

    Parameters
    ----------
    effects
        Rows of one encoder and view from `morphpipe.evaluation.core.summary.over_seeds`: metric
        `cate` with comparison `real`, `generated` and `real-control-floor`, at least one
        perturbation with both of the first two.
    """
    pairs = paired_effects(effects)
    floors = effects[
        (effects["metric"] == "cate") & (effects["comparison"] == "real-control-floor")
    ]
    cell_types = all_first(pairs["cell_type"])
    titles = ["mean over cell types" if c == "all" else c for c in cell_types]
    figure, grid = panels(titles, 10 if len(titles) > 1 else 5, 3.5)
    for axes, cell_type in zip(grid, cell_types, strict=True):
        here = pairs[pairs["cell_type"] == cell_type].sort_values("real")
        ends = here[["real", "generated"]].to_numpy()
        low, high = min(0.0, float(ends.min())), float(ends.max())
        limits = (low, high + 0.05 * (high - low or 1.0))
        floor = floors.loc[floors["cell_type"] == cell_type, "value"].max()
        if floor > 0:
            axes.axvspan(0, floor, color=FLOOR_GREY, alpha=0.38, lw=0)
        axes.plot(limits, limits, color=INK, lw=0.8)
        axes.plot(here["real"], here["generated"], "o", color=MADE, ms=4, mec="none", alpha=0.5)
        for row in here.tail(_NAMED).itertuples():
            axes.annotate(
                row.perturbation, (row.real, row.generated), (-4, 0), fontsize=7, ha="right",
                va="center", textcoords="offset points",
            )  # fmt: skip
        axes.set_xlim(limits)
        axes.set_ylim(limits)
        axes.set_aspect("equal")
        axes.grid(color=RULE)
        axes.set_axisbelow(True)
        axes.set_xlabel("effect (CATE) of real cells")
        axes.set_ylabel("of generated cells")
    handles: list[Any] = [
        Line2D([], [], ls="", marker="o", color=MADE, mec="none", ms=5, label="a perturbation"),
        Line2D([], [], color=INK, lw=0.8, label="as far as real cells"),
    ]
    if floors["value"].notna().any():
        label = "floor: control vs control"
        handles.append(Patch(color=FLOOR_GREY, alpha=0.5, lw=0, label=label))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure
