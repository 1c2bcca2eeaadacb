"""Figures of points: principal components of features and of profiles, and correlations."""

import json
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet, read_parquet_schema
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.core.load import load_feature_set
from morphpipe.report.figures.drawing import CONDITIONS, MADE, PRINT_STYLE, REAL, new_figure
from morphpipe.report.papers.items import FEATURES, MORPHOLOGY
from morphpipe.report.papers.paper_figure import Labels, PaperFigure
from morphpipe.report.results import principal_components
from morphpipe.tables.archive import read_fields
from morphpipe.tables.schemas import SCORES_KEY

Colours = Mapping[str, str]
# Of a condition and origin: more points hide each other.
_MOST_POINTS = 300
_HUES = ("#d55e00", "#1f9e77", "#c45f9b", "#e69f00", "#6a5acd", "#2b83c6")
_ORIGINS = {"real": REAL, "generated": MADE}
# By origin: marker and whether it is filled.
_MARKERS = {"real": "o", "generated": "x"}


def read_points(
    figure: PaperFigure, cell_types: Labels, perturbations: Labels, view: str | None = None
) -> tuple[pd.DataFrame, np.ndarray, str]:
    """Features of held-out real and of generated images of some conditions.

    Returns
    -------
    tuple
        Keys (cell_type, perturbation, origin), features float32 [n, d], and the encoder's name.
    """
    item, run, facts = figure.item, figure.run, figure.facts
    encoder = run.encoder(facts, item.numbers, item.paper)
    files = run.paths(facts.name, FEATURES)
    view = view or facts.encoders[encoder]["view"]
    keys, parts = [], []
    held_out = fields_on(read_split(files["split"]), "test")
    for folders, tables, allowed in (
        (files["real"], [files["fields"]], held_out),
        (files["generated"], files["samples"], None),
    ):
        known = pd.concat([read_fields(path).keys() for path in tables], ignore_index=True)
        chosen = known["cell_type"].isin(cell_types) & known["perturbation"].isin(perturbations)
        if allowed is not None:
            chosen &= known["field_id"].isin(allowed)
        known = known[chosen].sort_values("field_id").groupby(["cell_type", "perturbation"])
        wanted = frozenset(known.head(_MOST_POINTS)["field_id"])
        paths = [f"{folder}/{view}.parquet" for folder in folders]
        images = load_feature_set(paths, tables, wanted)
        keys.append(images.keys[["cell_type", "perturbation", "origin"]])
        parts.append(images.features)
    return pd.concat(keys, ignore_index=True), np.concatenate(parts), encoder


def _scatter(
    axes: Axes,
    points: pd.DataFrame,
    column: str,
    colours: Colours,
    title: str,
    shares: Sequence[float],
) -> None:
    """Points coloured by a column, real ones as circles and generated ones as crosses."""
    for origin, marker in _MARKERS.items():
        for name, colour in colours.items():
            part = points[(points["origin"] == origin) & (points[column] == name)]
            face = "none" if origin == "real" else colour
            axes.plot(
                part["first"], part["second"], marker, ms=4, mew=0.8, ls="", alpha=0.7,
                rasterized=True, mec=colour, mfc=face,
            )  # fmt: skip
    axes.set_title(title)
    axes.set_xlabel(f"PC1 ({shares[0]:.0%})")
    axes.set_ylabel(f"PC2 ({shares[1]:.0%})")
    axes.tick_params(labelsize=6, length=2)


def _squares(colours: Colours) -> list[Line2D]:
    return [Line2D([], [], ls="", marker="s", color=c, label=name) for name, c in colours.items()]


def _legend(figure: Figure, colours: Colours, *, markers: bool = False) -> None:
    """Colours below the figure, and what circles and crosses are."""
    handles = _squares(colours)
    if markers:
        handles += [
            Line2D([], [], ls="", marker="o", mfc="none", mec="black", label="real"),
            Line2D([], [], ls="", marker="x", mec="black", label="generated"),
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))


def _hues(names: Labels, control: str = "") -> dict[str, str]:
    others = [name for name in names if name != control]
    found = dict(zip(others, _HUES, strict=False))
    return found | ({control: CONDITIONS[0]} if control in names else {})


def _explained(shares: Sequence[float]) -> str:
    return (
        "Components are fitted to the real held-out images; they explain "
        f"{shares[0]:.0%} and {shares[1]:.0%} of their variance."
    )


@mpl.rc_context(PRINT_STYLE)
def two_components(
    of: PaperFigure,
    cell_type: str,
    perturbations: Labels,
    perturbation: str,
    cell_types: Labels,
) -> Figure:
    """Left perturbations in one cell type, right one perturbation in several cell types."""
    treatments = of.perturbations(perturbations)
    one_type = of.cell_types([cell_type])
    types = of.cell_types(cell_types)
    one = of.perturbations([perturbation])
    hues = _hues(treatments, of.control)
    figure = new_figure(8, 3.8)
    for axes, (cells, treated, column, colours, title) in zip(
        figure.subplots(1, 2),
        (
            (one_type, treatments, "perturbation", hues, one_type),
            (types, one, "cell_type", _hues(types), one),
        ),
        strict=True,
    ):
        keys, features, encoder = read_points(of, cells, treated)
        points, shares = principal_components(keys, features)
        _scatter(axes, points, column, colours, title[0], shares)
        axes.legend(handles=_squares(colours))
        of.notes.append(_explained(shares))
    of.notes.append(f"Features of {encoder}; circles real, crosses generated.")
    return figure


@mpl.rc_context(PRINT_STYLE)
def origins(
    of: PaperFigure,
    perturbations: Labels,
    cell_types: Labels,
) -> Figure:
    """A row a perturbation: by origin, and by cell type."""
    treatments = of.perturbations(perturbations)
    types = of.cell_types(cell_types)
    figure = new_figure(7, 2.6 * len(treatments) + 0.4)
    hues = _hues(types)
    for line, name in zip(
        figure.subplots(len(treatments), 2, squeeze=False), treatments, strict=True
    ):
        keys, features, encoder = read_points(of, types, [name])
        points, shares = principal_components(keys, features)
        _scatter(line[0], points, "origin", _ORIGINS, f"{name}, by origin", shares)
        _scatter(line[1], points, "cell_type", hues, f"{name}, by cell type", shares)
    of.notes.append(
        f"Features of {encoder}; components of each row are fitted to its real held-out images. "
        "Circles real, crosses generated."
    )
    _legend(figure, _ORIGINS | hues)
    return figure


@mpl.rc_context(PRINT_STYLE)
def effects(
    of: PaperFigure,
    cell_type: str,
    perturbations: Labels,
    channel: str = "",
) -> Figure:
    """All perturbations above, each with the control below."""
    here = of.cell_types([cell_type])
    treatments = of.perturbations(perturbations)
    view = of.run.channel(of.item.paper, channel) if channel else None
    keys, features, encoder = read_points(of, here, treatments, view)
    points, shares = principal_components(keys, features)
    control = of.control
    hues = _hues(treatments, control)
    others = [name for name in treatments if name != control]
    figure = new_figure(8, 6)
    grid = figure.add_gridspec(2, max(len(others), 1), height_ratios=[3, 2])
    title = f"{here[0]}: all perturbations"
    _scatter(figure.add_subplot(grid[0, :]), points, "perturbation", hues, title, shares)
    for place, name in enumerate(others):
        chosen = {key: hues[key] for key in (name, control) if key in hues}
        axes = figure.add_subplot(grid[1, place])
        _scatter(axes, points, "perturbation", chosen, f"{name} and {control}", shares)
    _legend(figure, hues, markers=True)
    seen = f"the channel {view}" if view else "whole images"
    of.notes.append(f"Features of {encoder} on {seen}. {_explained(shares)}")
    return figure


def _profiled(of: PaperFigure, file: str) -> tuple[str, str]:
    """A file of CellProfiler's measurements, and the recipe of an experiment's profiles."""
    facts = of.facts
    if facts.morphology is None:
        raise DataError("CellProfiler measures nothing of this experiment")
    return of.run.paths(facts.name, MORPHOLOGY)[file], facts.morphology["recipe"]


def _scores(
    of: PaperFigure, cell_type: str, perturbations: Labels
) -> tuple[pd.DataFrame, list[str], list[float]]:
    """Components of CellProfiler profiles, perturbations, and what is explained.

    Of the first pair of seeds.
    """
    path, recipe = _profiled(of, "scores")
    scores = read_parquet(path, own=True).to_pandas()
    scores = scores[scores["recipe"] == recipe]
    columns = ["training_seed", "sampling_seed"]
    seeds = scores[columns].drop_duplicates().sort_values(columns)
    if seeds.empty:
        raise DataError(f"there are no components of the recipe {recipe}")
    scores = scores[(scores[columns] == seeds.iloc[0]).all(axis=1)]
    here = of.cell_types([cell_type])
    treatments = of.perturbations(perturbations)
    metadata = read_parquet_schema(path).metadata or {}
    explained = {
        entry["recipe"]: entry["explained_variance"]
        for entry in json.loads(metadata.get(SCORES_KEY, b"[]"))
    }
    if recipe not in explained:
        raise DataError(f"the components of the recipe {recipe} do not say what they explain")
    shares = explained[recipe]
    of.notes.append(
        f"CellProfiler profiles by the recipe {recipe!r}; the first two components explain "
        f"{shares[0]:.0%} and {shares[1]:.0%} of the variance that they were fitted to."
    )
    chosen = scores["cell_type"].isin(here) & scores["perturbation"].isin(treatments)
    points = scores[chosen].rename(columns={"pc1": "first", "pc2": "second"})
    return points, treatments, shares


@mpl.rc_context(PRINT_STYLE)
def profiles(of: PaperFigure, cell_type: str, perturbations: Labels) -> Figure:
    """CellProfiler profiles by perturbation and origin."""
    scores, treatments, shares = _scores(of, cell_type, perturbations)
    hues = _hues(treatments, of.control)
    figure = new_figure(5, 4)
    _scatter(figure.subplots(), scores, "perturbation", hues, "CellProfiler features", shares)
    _legend(figure, hues, markers=True)
    return figure


@mpl.rc_context(PRINT_STYLE)
def profile_panels(of: PaperFigure, cell_type: str, perturbations: Labels) -> Figure:
    """CellProfiler profiles, a panel a perturbation, by origin."""
    scores, treatments, shares = _scores(of, cell_type, perturbations)
    figure = new_figure(2.3 * len(treatments), 2.7)
    panels = figure.subplots(1, len(treatments), squeeze=False, sharex=True, sharey=True)[0]
    for axes, name in zip(panels, treatments, strict=True):
        _scatter(axes, scores[scores["perturbation"] == name], "origin", _ORIGINS, name, shares)
        axes.label_outer()
    _legend(figure, _ORIGINS)
    return figure


@mpl.rc_context(PRINT_STYLE)
def correlations(of: PaperFigure, top: int) -> Figure:
    """Correlations of the top features, real and generated side by side on one scale."""
    path, recipe = _profiled(of, "correlations")
    table = read_parquet(path, own=True).to_pandas()
    table = table[table["recipe"] == recipe]
    table = table[(table["rank_a"] <= top) & (table["rank_b"] <= top)]
    table = table.drop_duplicates(["rank_a", "rank_b"])
    if table.empty:
        raise DataError("there are no correlations of the configured recipe")
    names = table.drop_duplicates("rank_a").sort_values("rank_a")["feature_a"].tolist()
    figure = new_figure(9, 4.2)
    grid, shown, matrices = figure.subplots(1, 2, sharey=True), None, []
    for axes, side in zip(grid, ("real", "generated"), strict=True):
        matrix = table.pivot(index="rank_a", columns="rank_b", values=side).to_numpy(dtype=float)
        shown = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_title(side)
        axes.set_xticks(range(len(names)), [str(i + 1) for i in range(len(names))])
        axes.set_yticks(range(len(names)), [f"{n} {i + 1}" for i, n in enumerate(names)])
        axes.tick_params(length=0, labelsize=6)
        matrices.append(matrix[np.triu_indices(len(names), 1)])
    assert shown is not None
    figure.colorbar(shown, ax=list(grid), label="Pearson's r", shrink=0.8)
    known = np.isfinite(matrices).all(axis=0)
    if known.sum() > 1:
        agreement = float(np.corrcoef(matrices[0][known], matrices[1][known])[0, 1])
        of.notes.append(f"Correlation between the two matrices (upper triangles): {agreement:.2f}.")
    return figure
