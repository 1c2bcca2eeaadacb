"""The figures of an experiment with their captions."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from morphpipe.config import Configuration
from morphpipe.core.errors import DataError
from morphpipe.datasets.simulated.programmes import Programme, programmes
from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report import tables
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures import plots
from morphpipe.report.figures.drawing import figure_absent
from morphpipe.report.figures.effects import figure_effects
from morphpipe.report.figures.effects_scatter import (
    MOST_LINES,
    figure_effects_scatter,
    paired_effects,
)
from morphpipe.report.figures.quality import MOST_POINTS, figure_quality
from morphpipe.report.quality import quality_points
from morphpipe.report.results import (
    COPY,
    DISTANCE_NAMES,
    FRECHET,
    KERNEL,
    SHUFFLED,
    distance_points,
    named_cell_type,
    principal_components,
    select,
    served_alignment,
)

_ALIGNED = " †"


@dataclass(frozen=True)
class Plot:
    """A figure with caption and alternative text.

    Attributes
    ----------
    name
        Unique within the experiment.
    title
        Title of the figure.
    alternative
        Alternative text for screen readers.
    caption
        Caption with how to read the figure.
    collapsed
        Whether the figure is collapsed by default: for encoders that were used for alignment, and
        for secondary measures.
    """

    name: str
    title: str
    figure: Figure
    alternative: str
    caption: str
    collapsed: bool = False


def marker(configuration: Configuration, experiment: str) -> tables.Mark:
    """Return a function that adds a dagger to encoders that were used for alignment."""

    def mark(extractor: str) -> str:
        aligned = served_alignment(configuration, experiment, extractor)
        return extractor + (_ALIGNED if aligned else "")

    return mark


def _collapsed(extractor: str, summary: pd.DataFrame, mark: tables.Mark) -> bool:
    """Whether an encoder was used for alignment while another was not."""
    others = set(summary["extractor"]) - {""}
    return mark(extractor) != extractor and any(mark(name) == name for name in others)


def _distance_plots(summary: pd.DataFrame, mark: tables.Mark) -> list[Plot]:
    """One figure per encoder: Fréchet distances as multiples of the floor, kernel distances."""
    found = []
    for metrics, relative in ((FRECHET, True), (KERNEL, False)):
        pairs = select(summary, metric=metrics)[["metric", "extractor"]].drop_duplicates()
        for metric, extractor in pairs.itertuples(index=False):
            points = distance_points(summary, metric=metric, extractor=extractor, relative=relative)
            if points.empty:
                continue
            name = DISTANCE_NAMES[metric]
            label = f"{name}, {mark(extractor)}"

            def shown(comparison: str, points: pd.DataFrame = points) -> bool:
                return bool((points["comparison"] == comparison).any())

            reading = (
                "Values to the right of the grey band are less similar to real images; the band is "
                "the floor, real vs real, around 1."
                if relative
                else "Kernel distances are not divided by the floor, which is close to 0. Values "
                "to the right of the grey band are less similar to real images."
            )
            found.append(
                Plot(
                    f"{'frechet' if relative else 'kernel'}-{extractor}",
                    label,
                    plots.figure_distances(points, label=label, relative=relative),
                    f"{label}: generated images, floor and controls by view and cell type. The "
                    "values are in the table below.",
                    f"{label}. {reading} Orange: generated"
                    + ("; green: replayed training images" * shown(COPY))
                    + (
                        "; pink: generated images of other conditions, which must be further away "
                        "if the generator follows its condition" * shown(SHUFFLED)
                    )
                    + ". Lines: 95 % intervals.",
                    collapsed=not relative or _collapsed(extractor, summary, mark),
                )
            )
    return found


def _encoder_views(summary: pd.DataFrame, metric: str) -> list[tuple[str, str]]:
    """Return each encoder with that metric, and its widest view."""
    found = select(summary, metric=metric)
    pairs = []
    for extractor in dict.fromkeys(found["extractor"]):
        views = list(dict.fromkeys(found.loc[found["extractor"] == extractor, "view"]))
        pairs.append((extractor, next((v for v in ("all", "rgb") if v in views), views[0])))
    return pairs


def _truth_caption(known: list[Programme]) -> str:
    """Explain the true effects in the figure."""
    series = [programme for programme in known if programme.is_series]
    alone = [programme.name for programme in known if not programme.is_series]
    text = (
        " True effects are only comparable within a programme, i.e. between strengths of the same "
        "change; lines separate programmes."
    )
    if series:
        shown = "; ".join(f"{p.name}: {', '.join(p.members)}" for p in series)
        text += (
            f" Hollow diamonds: true effects of a series ({shown}), scaled to its largest real "
            "effect; only their order is meaningful."
        )
    if alone:
        text += (
            f" {', '.join(alone)}: no diamond, as a single member of a programme cannot be "
            "compared with others."
        )
    return text


def _effect_figure(
    rows: pd.DataFrame, truth: Mapping[str, Mapping[str, float]], known: list[Programme]
) -> tuple[Figure, str]:
    """Return the figure of one encoder and view, and its caption."""
    floor = select(rows, metric="cate", comparison="real-control-floor")
    band = "; effects inside the grey band are not distinguishable from none"
    band *= bool(floor["value"].notna().any())
    sides = select(rows, metric="cate", comparison=("real", "generated"))
    shown = sides.loc[sides["value"].notna(), "perturbation"].nunique()
    if shown <= MOST_LINES:
        reading = (
            "An orange square near its blue circle means that generated and real effects are of "
            f"the same size{band}."
        )
        return figure_effects(rows, truth, known), reading + (_truth_caption(known) * bool(truth))
    both = paired_effects(rows)["perturbation"].nunique()
    if not both:
        reason = f"None of the {shown:,} perturbations has a real and a generated effect."
        return figure_absent(reason), reason
    others = f" ({shown - both:,} others have only one)" if shown > both else ""
    reading = (
        f"Each point is one of the {both:,} perturbations with a real and a generated effect"
        f"{others}. On the line both effects have the same size, below it the generated effect is "
        f"smaller{band}. The strongest real effects are labelled."
    )
    return figure_effects_scatter(rows), reading


def _effect_plots(summary: pd.DataFrame, evidence: Evidence, mark: tables.Mark) -> list[Plot]:
    truth = {c: evidence.true_effects(c) for c in [*evidence.cell_types, "all"]}
    truth = {cell_type: effects for cell_type, effects in truth.items() if effects}
    known = programmes(evidence.perturbations) if truth else []
    found = []
    for extractor, view in _encoder_views(summary, "cate"):
        rows = select(summary, extractor=extractor, view=view)
        if select(rows, metric="cate", comparison=("real", "generated"))["value"].notna().any():
            figure, reading = _effect_figure(rows, truth, known)
            found.append(
                Plot(
                    f"effects-{extractor}",
                    f"Effects by {mark(extractor)}, view “{view}”",
                    figure,
                    f"Treatment effects by {mark(extractor)}, real and generated, by cell type "
                    "and perturbation. The values are in the table below.",
                    f"Treatment effects by {mark(extractor)}, view “{view}”. {reading}",
                    collapsed=_collapsed(extractor, summary, mark),
                )
            )
    return found


def _quality_plots(evidence: Evidence) -> list[Plot]:
    if evidence.quality is None:
        return []
    channels = evidence.real.manifest.names
    points = quality_points(evidence.quality, channels)
    if points.empty:
        return []
    limits = evidence.dataset.quality.limits
    kept = int(evidence.quality["reason"].isna().sum())
    return [
        Plot(
            "quality",
            "Quality of the fields",
            figure_quality(points, limits),
            "Focus, contrast, saturation and debris of raw fields, by channel and exclusion.",
            "Quality control of raw fields before any correction, one point per field"
            + (f" ({MOST_POINTS} of {kept:,} fields per channel)" if kept > MOST_POINTS else "")
            + ". Inspect fields far from the median; channels are not comparable with each other. "
            + (
                "Fields beyond a limit in any channel are excluded, and shown in every channel."
                if limits
                else "No limits are configured, so no field is excluded for its quality."
            ),
        )
    ]


def _probe_plots(summary: pd.DataFrame, mark: tables.Mark) -> list[Plot]:
    found = []
    for extractor, view in _encoder_views(summary, "accuracy"):
        rows = select(summary, extractor=extractor, view=view)
        if not select(rows, metric="accuracy")["value"].notna().any():
            continue
        found.append(
            Plot(
                f"probes-{extractor}",
                f"Probes on {mark(extractor)}, view “{view}”",
                plots.figure_probes(rows),
                f"Accuracy of linear probes on {mark(extractor)}. The values are in the table.",
                f"Linear probes on {mark(extractor)}, view “{view}”. Blue: trained on real images; "
                "orange: trained on generated images only; dashed line: chance. The hatched bar is "
                "an easier task, trained and tested on generated images.",
                collapsed=_collapsed(extractor, summary, mark),
            )
        )
    return found


def _pca_plots(evidence: Evidence, mark: tables.Mark) -> list[Plot]:
    if evidence.points is None:
        return []
    keys, features = evidence.points.keys, evidence.points.features
    try:
        points, explained = principal_components(keys, features)
    except DataError as error:
        reason = f"No principal components: {error}."
        return [Plot("pca", "Feature space", figure_absent(reason), reason, "")]
    order = {name: i for i, name in enumerate(evidence.perturbations)}
    points = points[points["perturbation"].isin(list(order))]
    points = points.sort_values("perturbation", key=lambda p: p.map(order), kind="stable")
    extraction = evidence.points.extraction
    return [
        Plot(
            "pca",
            "Feature space",
            plots.figure_pca(points, explained),
            "Principal components of the features of real and generated images, by cell type.",
            f"Features of {mark(extraction.extractor)}, view “{extraction.view}”; the components "
            "are fitted to real held-out images only. Crosses should overlap with circles of the "
            "same colour, with a similar spread.",
        )
    ]


def _training_plots(evidence: Evidence) -> list[Plot]:
    logs = {t.seed: t.log for t in evidence.trainings if len(t.log)}
    if not logs:
        return []
    return [
        Plot(
            "training",
            "Training",
            plots.figure_training(logs),
            "Training losses by optimizer step.",
            "Training losses by step. The loss should decrease and level off; its value says "
            "little about image quality.",
        )
    ]


def experiment_plots(configuration: Configuration, evidence: Evidence) -> dict[str, list[Plot]]:
    """Make all figures by topic: distances, effects, probes, pca, quality, training.

    Collapsed figures come last.
    """
    summary = named_cell_type(over_seeds(evidence.metrics), evidence.cell_types)
    mark = marker(configuration, evidence.name)
    found = {
        "distances": _distance_plots(summary, mark),
        "effects": _effect_plots(summary, evidence, mark),
        "probes": _probe_plots(summary, mark),
        "pca": _pca_plots(evidence, mark),
        "quality": _quality_plots(evidence),
        "training": _training_plots(evidence),
    }
    return {topic: sorted(of, key=lambda plot: plot.collapsed) for topic, of in found.items()}
