"""Figures of features: principal components (MorphGen's 3, 5 to 12) and correlations (4)."""

import json
from collections.abc import Callable, Sequence

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
from morphpipe.report.papers.drawing import (
    CONTROL_GREY,
    GENERATED,
    GENERATED_MARKER,
    HUES,
    REAL,
    REAL_MARKER,
    STYLE,
    new_figure,
)
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.labels import CELL_TYPES, CONTROL, FREQUENT, channel, no_stand_in
from morphpipe.report.papers.run import PaperRun
from morphpipe.tables.archive import read_fields
from morphpipe.tables.schemas import SCORES_KEY

Notes = list[str]
# Of a condition and origin: more points hide each other.
_MOST_POINTS = 300
_HUVEC = "HUVEC"
_TOP = 10


def _model(run: PaperRun) -> ExperimentFacts:
    facts = run.experiment("model")
    if facts is None:
        raise DataError("this run has no experiment in the role model")
    return facts


def _names(run: PaperRun, labels: Sequence[str], kind: str, notes: Notes) -> list[str]:
    """The run's names of labels; those that nothing stands for go into the notes."""
    names = run.papers.morphgen.names
    translate = names.cell_type if kind == "cell type" else names.perturbation
    found = {label: translate(label) for label in labels}
    notes += [f"{no_stand_in(kind, label)}." for label, name in found.items() if name is None]
    known = [name for name in found.values() if name is not None]
    if not known:
        raise DataError(f"this run has nothing that stands for the figure's {kind}s")
    return known


def _control(run: PaperRun) -> str:
    return run.papers.morphgen.names.perturbation(CONTROL) or CONTROL


def read_points(
    run: PaperRun, view: str | None, cell_types: Sequence[str], perturbations: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray, str]:
    """Features of held-out real and of generated images of some conditions.

    Returns
    -------
    tuple
        Keys (cell_type, perturbation, origin), features float32 [n, d], and the encoder's name.
    """
    facts = _model(run)
    encoder = run.encoder(facts, "biology")
    files = run.paths(facts.name, "features")
    view = view or facts.encoders[encoder]["view"]
    keys, parts = [], []
    held_out = set(fields_on(read_split(files["split"]), "test"))
    for folders, tables, allowed in (
        (files["real"], [files["fields"]], held_out),
        (files["generated"], files["samples"], None),
    ):
        known = pd.concat([read_fields(path).keys() for path in tables], ignore_index=True)
        known = known[
            known["cell_type"].isin(cell_types) & known["perturbation"].isin(perturbations)
        ]
        if allowed is not None:
            known = known[known["field_id"].isin(allowed)]
        known = known.sort_values("field_id").groupby(["cell_type", "perturbation"])
        wanted = frozenset(known.head(_MOST_POINTS)["field_id"])
        paths = [f"{folder}/{view}.parquet" for folder in folders]
        images = load_feature_set(paths, tables, wanted)
        keys.append(images.keys[["cell_type", "perturbation", "origin"]])
        parts.append(images.features)
    return pd.concat(keys, ignore_index=True), np.concatenate(parts), encoder


def components(keys: pd.DataFrame, features: np.ndarray) -> tuple[pd.DataFrame, list[float]]:
    """First two principal components, fitted to the real images alone.

    Returns
    -------
    tuple
        `keys` with `pc1` and `pc2`, and the share of the real images' variance of each.
    """
    real = (keys["origin"] == "real").to_numpy()
    if real.sum() < 3:
        raise DataError(f"{real.sum()} real images are too few for principal components")
    # Here, as no other item needs it: each is a job of its own.
    from sklearn.decomposition import PCA

    fitted = PCA(n_components=2, svd_solver="full").fit(features[real].astype(np.float64))
    first, second = fitted.transform(features.astype(np.float64)).T
    shares = [float(share) for share in fitted.explained_variance_ratio_]
    return keys.assign(pc1=first, pc2=second), shares


def _scatter(
    axes: Axes,
    points: pd.DataFrame,
    column: str,
    colours: dict[str, str],
    title: str,
    shares: Sequence[float],
) -> None:
    """Points coloured by a column, real ones as circles and generated ones as crosses."""
    for origin, marker in (("real", REAL_MARKER), ("generated", GENERATED_MARKER)):
        for name, colour in colours.items():
            part = points[(points["origin"] == origin) & (points[column] == name)]
            face = "none" if origin == "real" else colour
            axes.plot(
                part["pc1"], part["pc2"], marker, ms=4, mew=0.8, ls="", alpha=0.7,
                rasterized=True, mec=colour, mfc=face,
            )  # fmt: skip
    axes.set_title(title)
    axes.set_xlabel(f"PC1 ({shares[0]:.0%})")
    axes.set_ylabel(f"PC2 ({shares[1]:.0%})")
    axes.tick_params(labelsize=6, length=2)


def _legend(figure: Figure, colours: dict[str, str], *, by_origin: bool) -> None:
    handles = [
        Line2D([], [], ls="", marker="s", color=colour, label=name)
        for name, colour in colours.items()
    ]
    if not by_origin:
        handles += [
            Line2D([], [], ls="", marker=REAL_MARKER, mfc="none", mec="black", label="real"),
            Line2D([], [], ls="", marker=GENERATED_MARKER, mec="black", label="generated"),
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))


def _hues(names: Sequence[str], control: str) -> dict[str, str]:
    others = [name for name in names if name != control]
    found = dict(zip(others, HUES, strict=False))
    return found | ({control: CONTROL_GREY} if control in names else {})


def _shares(shares: Sequence[float]) -> str:
    return (
        "Components are fitted to the real held-out images; they explain "
        f"{shares[0]:.0%} and {shares[1]:.0%} of their variance."
    )


_ORIGINS = {"real": REAL, "generated": GENERATED}


@mpl.rc_context(STYLE)
def figure_5(run: PaperRun, notes: Notes) -> Figure:
    """Left the four perturbations in one cell type, right one perturbation in all cell types."""
    perturbations = _names(run, FREQUENT, "perturbation", notes)
    huvec = _names(run, [_HUVEC], "cell type", notes)
    cell_types = _names(run, CELL_TYPES, "cell type", notes)
    one = _names(run, ["1108"], "perturbation", notes)
    figure = new_figure(8, 3.8)
    for axes, (types, treatments, column, hues) in zip(
        figure.subplots(1, 2),
        (
            (huvec, perturbations, "perturbation", _hues(perturbations, _control(run))),
            (cell_types, one, "cell_type", dict(zip(cell_types, HUES, strict=False))),
        ),
        strict=True,
    ):
        keys, features, encoder = read_points(run, None, types, treatments)
        points, shares = components(keys, features)
        title = ", ".join(types if column != "cell_type" else one)
        _scatter(axes, points, column, hues, title, shares)
        axes.legend(
            handles=[Line2D([], [], ls="", marker="s", color=c, label=n) for n, c in hues.items()]
        )
        notes.append(_shares(shares))
    notes.append(f"Features of {encoder}; circles real, crosses generated.")
    return figure


@mpl.rc_context(STYLE)
def figure_6(run: PaperRun, notes: Notes) -> Figure:
    """A row a perturbation: by origin, and by cell type."""
    perturbations = _names(run, FREQUENT, "perturbation", notes)
    cell_types = _names(run, CELL_TYPES, "cell type", notes)
    figure = new_figure(7, 2.6 * len(perturbations) + 0.4)
    hues = dict(zip(cell_types, HUES, strict=False))
    for line, perturbation in zip(
        figure.subplots(len(perturbations), 2, squeeze=False), perturbations, strict=True
    ):
        keys, features, encoder = read_points(run, None, cell_types, [perturbation])
        points, shares = components(keys, features)
        _scatter(line[0], points, "origin", _ORIGINS, f"{perturbation}, by origin", shares)
        _scatter(line[1], points, "cell_type", hues, f"{perturbation}, by cell type", shares)
    notes.append(
        f"Features of {encoder}; components of each row are fitted to its real held-out images. "
        "Circles real, crosses generated."
    )
    _legend(figure, _ORIGINS | hues, by_origin=True)
    return figure


def effects_figure(label: str, organelle: str | None = None) -> Callable[[PaperRun, Notes], Figure]:
    """Figures 7 to 11: all four perturbations above, each beside the control below."""

    def draw(run: PaperRun, notes: Notes) -> Figure:
        cell_type = _names(run, [label], "cell type", notes)
        perturbations = _names(run, FREQUENT, "perturbation", notes)
        names = run.papers.morphgen.names
        view = None if organelle is None else channel(names, organelle)
        keys, features, encoder = read_points(run, view, cell_type, perturbations)
        points, shares = components(keys, features)
        control = _control(run)
        hues = _hues(perturbations, control)
        others = [name for name in perturbations if name != control]
        with mpl.rc_context(STYLE):
            figure = new_figure(8, 6)
            grid = figure.add_gridspec(2, max(len(others), 1), height_ratios=[3, 2])
            title = f"{cell_type[0]}: all perturbations"
            _scatter(figure.add_subplot(grid[0, :]), points, "perturbation", hues, title, shares)
            for place, name in enumerate(others):
                chosen = {name: hues[name]} | ({control: hues[control]} if control in hues else {})
                axes = figure.add_subplot(grid[1, place])
                title = f"{name} and {control}"
                _scatter(axes, points, "perturbation", chosen, title, shares)
            _legend(figure, hues, by_origin=False)
        seen = f"the channel {view}" if view else "whole images"
        notes.append(f"Features of {encoder} on {seen}. {_shares(shares)}")
        return figure

    return draw


def _scores(run: PaperRun, notes: Notes) -> tuple[pd.DataFrame, list[float]]:
    """Principal components of CellProfiler profiles, of the first pair of seeds; their shares."""
    facts = _model(run)
    if facts.morphology is None:
        raise DataError("CellProfiler measures nothing of this experiment")
    path = run.paths(facts.name, "morphology")["scores"]
    scores = read_parquet(path, own=True).to_pandas()
    recipe = facts.morphology["recipe"]
    scores = scores[scores["recipe"] == recipe]
    seeds = scores[["training_seed", "sampling_seed"]].drop_duplicates().sort_values(
        ["training_seed", "sampling_seed"]
    )  # fmt: skip
    if seeds.empty:
        raise DataError(f"there are no components of the recipe {recipe}")
    scores = scores[(scores[["training_seed", "sampling_seed"]] == seeds.iloc[0]).all(axis=1)]
    cell_type = _names(run, [_HUVEC], "cell type", notes)
    perturbations = _names(run, FREQUENT, "perturbation", notes)
    metadata = read_parquet_schema(path).metadata or {}
    explained = {
        entry["recipe"]: entry["explained_variance"]
        for entry in json.loads(metadata.get(SCORES_KEY, b"[]"))
    }
    if recipe not in explained:
        raise DataError(f"the components of the recipe {recipe} do not say what they explain")
    shares = explained[recipe]
    notes.append(
        f"CellProfiler profiles by the recipe {recipe!r}; the first two components explain "
        f"{shares[0]:.0%} and {shares[1]:.0%} of the variance that they were fitted to."
    )
    chosen = scores["cell_type"].isin(cell_type) & scores["perturbation"].isin(perturbations)
    return scores[chosen], shares


@mpl.rc_context(STYLE)
def figure_3(run: PaperRun, notes: Notes) -> Figure:
    """CellProfiler profiles by perturbation and origin."""
    scores, shares = _scores(run, notes)
    hues = _hues(_names(run, FREQUENT, "perturbation", []), _control(run))
    figure = new_figure(5, 4)
    _scatter(figure.subplots(), scores, "perturbation", hues, "CellProfiler features", shares)
    _legend(figure, hues, by_origin=False)
    return figure


@mpl.rc_context(STYLE)
def figure_12(run: PaperRun, notes: Notes) -> Figure:
    """CellProfiler profiles, a panel a perturbation, by origin."""
    scores, shares = _scores(run, notes)
    perturbations = _names(run, FREQUENT, "perturbation", [])
    figure = new_figure(2.3 * len(perturbations), 2.7)
    for axes, name in zip(
        figure.subplots(1, len(perturbations), squeeze=False, sharex=True, sharey=True)[0],
        perturbations,
        strict=True,
    ):
        _scatter(axes, scores[scores["perturbation"] == name], "origin", _ORIGINS, name, shares)
        axes.label_outer()
    _legend(figure, _ORIGINS, by_origin=True)
    return figure


@mpl.rc_context(STYLE)
def figure_4(run: PaperRun, notes: Notes) -> Figure:
    """Correlations of the top features, real and generated side by side on one scale."""
    facts = _model(run)
    if facts.morphology is None:
        raise DataError("CellProfiler measures nothing of this experiment")
    table = read_parquet(run.paths(facts.name, "morphology")["correlations"], own=True).to_pandas()
    table = table[table["recipe"] == facts.morphology["recipe"]]
    table = table[(table["rank_a"] <= _TOP) & (table["rank_b"] <= _TOP)]
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
        notes.append(f"Correlation between the two matrices (upper triangles): {agreement:.2f}.")
    return figure
