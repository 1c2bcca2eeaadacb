"""The plots of an experiment with the sentences that say how to read them."""

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
    """A figure with what says how to read it.

    Attributes
    ----------
    name
        Unique within the experiment.
    title
        Of the fold that holds it, where it stands `aside`: by an encoder that served alignment,
        or a second measure of the same.
    alternative
        For those who cannot see it.
    caption
        How to read it.
    """

    name: str
    title: str
    figure: Figure
    alternative: str
    caption: str
    aside: bool = False


def marker(configuration: Configuration, experiment: str) -> tables.Mark:
    """What gives an extractor's name as shown: with a dagger where it served alignment."""

    def mark(extractor: str) -> str:
        aligned = served_alignment(configuration, experiment, extractor)
        return extractor + (_ALIGNED if aligned else "")

    return mark


def _aside(extractor: str, summary: pd.DataFrame, mark: tables.Mark) -> bool:
    """Whether an encoder served alignment while there is another that did not."""
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
                "Read it as: the further right of the grey band, the less like real images; the "
                "band is what real images score against each other, and 1 its middle."
                if relative
                else "The floor of a kernel distance lies at 0 up to chance, so that no multiple "
                "of it is formed; read it as: right of the grey band is less like real images."
            )
            found.append(
                Plot(
                    f"{'frechet' if relative else 'kernel'}-{extractor}",
                    label,
                    plots.figure_distances(points, label=label, relative=relative),
                    f"{label}: generated images, floor and controls by view and cell type. The "
                    "values are in the table below.",
                    f"{label}. {reading} Orange is generated"
                    + ("; green replays training images" * shown(COPY))
                    + (
                        "; pink are generated images of other conditions, which a model that "
                        "follows its condition must beat" * shown(SHUFFLED)
                    )
                    + ". Lines are 95 % intervals.",
                    aside=not relative or _aside(extractor, summary, mark),
                )
            )
    return found


def _encoder_views(summary: pd.DataFrame, metric: str) -> list[tuple[str, str]]:
    """Encoder and the widest of its views, for each encoder with that metric."""
    found = select(summary, metric=metric)
    pairs = []
    for extractor in dict.fromkeys(found["extractor"]):
        views = list(dict.fromkeys(found.loc[found["extractor"] == extractor, "view"]))
        pairs.append((extractor, next((v for v in ("all", "rgb") if v in views), views[0])))
    return pairs


def _truth_caption(known: list[Programme]) -> str:
    """What the true effects in the figure say, and what they do not."""
    series = [programme for programme in known if programme.is_series]
    alone = [programme.name for programme in known if not programme.is_series]
    said = (
        " True effects compare only within a programme, that is between strengths of the same "
        "change, and lines set the programmes apart."
    )
    if series:
        shown = "; ".join(f"{p.name}: {', '.join(p.members)}" for p in series)
        said += (
            f" Hollow diamonds are the true effects of a series ({shown}), in another unit and "
            "scaled to its largest real one: their order counts, not their place."
        )
    if alone:
        said += (
            f" {', '.join(alone)} {'stands' if len(alone) == 1 else 'stand each'} alone in "
            "another programme and "
            f"{'has' if len(alone) == 1 else 'have'} no diamond, for that a true effect is larger "
            "there does not mean that a feature space is moved further."
        )
    return said


def _effect_figure(
    rows: pd.DataFrame, truth: Mapping[str, Mapping[str, float]], known: list[Programme]
) -> tuple[Figure, str]:
    """The figure of one encoder and view, and how to read it."""
    floor = select(rows, metric="cate", comparison="real-control-floor")
    band = "; inside the grey band an effect cannot be told from none"
    band *= bool(floor["value"].notna().any())
    sides = select(rows, metric="cate", comparison=("real", "generated"))
    shown = sides.loc[sides["value"].notna(), "perturbation"].nunique()
    if shown <= MOST_LINES:
        reading = (
            "Read it as: an orange square near its blue circle means that the generator moves "
            f"cells as far as the perturbation does{band}."
        )
        return figure_effects(rows, truth, known), reading + (_truth_caption(known) * bool(truth))
    both = paired_effects(rows)["perturbation"].nunique()
    if not both:
        reason = f"None of the {shown:,} perturbations has a real and a generated effect."
        return figure_absent(reason), reason
    others = f" ({shown - both:,} others have one of them)" if shown > both else ""
    reading = (
        f"Read it as: each of the {both:,} perturbations with a real and a generated effect is a "
        f"point{others}. On the line the generator moves cells as far as the perturbation does, "
        f"below it less far{band}. Names are those of the strongest real effects."
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
                    aside=_aside(extractor, summary, mark),
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
            "Focus, contrast, saturation and debris of every raw field, by channel, kept fields "
            "without the excluded ones.",
            "Raw fields before any correction, one point each"
            + (f" ({MOST_POINTS} of {kept:,} kept ones a channel)" if kept > MOST_POINTS else "")
            + ". Read it as: points far from their line's median are the fields to look at; "
            "channels differ by nature and compare with themselves only. "
            + (
                "Fields beyond a limit in any channel were excluded, and show in every channel."
                if limits
                else "No limits are configured: fields are measured, and none is excluded for "
                "its quality."
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
                f"Linear probes on {mark(extractor)}, view “{view}”. Read it as: the orange bar "
                "says how much of what the blue bar finds can be learnt from generated images "
                "alone; the dashed line is chance. The hatched bar is the easy task, generated "
                "images tested on generated ones.",
                aside=_aside(extractor, summary, mark),
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
            f"Features by {mark(extraction.extractor)}, view “{extraction.view}”; the axes are "
            "fitted to the real held-out images alone. Read it as: crosses should lie where the "
            "circles of their colour lie, and spread as wide.",
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
            "Training losses by step. Read it as: the curve should fall and flatten; its height "
            "says little about the images.",
        )
    ]


def experiment_plots(configuration: Configuration, evidence: Evidence) -> dict[str, list[Plot]]:
    """All plots of an experiment by topic: distances, effects, probes, pca, quality, training.

    Those that stand aside come last.
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
    return {topic: sorted(of, key=lambda plot: plot.aside) for topic, of in found.items()}
