"""Sections of an experiment's page for single metric tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.measures import figure_measures
from morphpipe.report.measure_tables import measure_tables, role
from morphpipe.report.results import named_cell_type, select
from morphpipe.report.tables import Mark, Table


@dataclass(frozen=True)
class Measure:
    """How one metric table is shown.

    Attributes
    ----------
    name
        Name of the table, one of `morphpipe.report.evidence.MEASURES`.
    short, title
        Title in the navigation, and heading of the section.
    reading
        How to interpret the values.
    drawn
        Titles of the figure's panels by metric; empty without a figure.
    floor
        Label of the figure's grey band.
    variant
        Header of the column `variant`.
    extractor
        Header of the column `extractor`.
    singly
        Whether values are for single perturbations, over all cell types.
    """

    name: str
    short: str
    title: str
    reading: str
    drawn: tuple[tuple[str, str], ...] = ()
    floor: str = "floor: real vs real"
    variant: str = "variant"
    extractor: str = "encoder"
    singly: bool = False


SHOWN = (
    Measure(
        "manifold",
        "Coverage",
        "Do generated images cover the distribution of real ones?",
        "Precision is the fraction of generated images among real ones; recall is the fraction of "
        "real images among generated ones. High precision with low recall indicates a generator "
        "with little variety. Density and coverage are similar, and more robust to outliers. The "
        "floor, real vs real, need not reach 1 either.",
        tuple((name, name) for name in ("precision", "recall", "density", "coverage")),
    ),
    Measure(
        "memorisation",
        "Memorisation",
        "Are generated images copies of training images?",
        "A typical image is close to many training images, a copy to a single one. An image counts "
        "as memorised if its nearest training image is closer, relative to the next neighbours, "
        "than for nearly all held-out real images, which cannot be copies. Replayed training "
        "images show that the test detects copies.",
        (
            ("memorised_share", "memorised fraction"),
            ("nearest_training_distance", "distance to training"),
        ),
        "floor: held-out real images",
    ),
    Measure(
        "retrieval",
        "Retrieval",
        "Do generated profiles retrieve real ones?",
        "Each generated profile is a query for real profiles of its perturbation among all real "
        "profiles: mean average precision is 1 if they rank first. Split halves of real images "
        "give the attainable value, shuffled labels the chance level.",
        (("mean_average_precision", "mean average precision"),),
        "split halves of real images",
    ),
    Measure(
        "condition_fidelity",
        "Condition fidelity",
        "Do generated images match their condition?",
        "Images generated for a perturbation are compared with real images of all perturbations "
        "of the cell type. The percentile is 0 if their own condition is the closest, and 0.5 by "
        "chance, as for a generator that ignores its condition, however realistic its images are.",
        (
            ("own_rank_percentile", "rank percentile of the condition"),
            ("energy_distance", "energy distance to the condition"),
        ),
        "split halves of real images",
    ),
    Measure(
        "batches",
        "Other batches",
        "Do results generalise to other batches?",
        "Training and test images are from different batches, so a probe cannot exploit batch "
        "effects; its accuracy on new wells of the same batches is given for comparison. A "
        "correction removes batch effects from the features. Effects across batches are relative "
        "to controls of another batch; controls vs controls show the contribution of the batch.",
        variant="correction of features",
        singly=True,
    ),
    Measure(
        "matched",
        "Equal cell counts",
        "Do results hold at equal cell counts?",
        "Fields are sampled so that both sides have the same cell counts: the remaining effect is "
        "not due to cell count.",
        singly=True,
    ),
    Measure(
        "variance",
        "Variance",
        "Do generated images vary as much as real ones?",
        "Variance of the features within a condition. A lower variance than for real images means "
        "that generated images are too similar.",
    ),
    Measure(
        "reconstruction",
        "The autoencoder",
        "How much does the autoencoder lose?",
        "Held-out real images, encoded and decoded: the generator cannot be better than its "
        "autoencoder.",
        extractor="autoencoder",
    ),
    Measure(
        "cross_perturbation",
        "Real vs real",
        "How far apart are real perturbations?",
        "Distances between real images, all with the same number of images, as a reference. A "
        "perturbation vs itself is the floor.",
        variant="other perturbation",
        singly=True,
    ),
)

_WHOLE = ("all", "rgb", "")


@dataclass(frozen=True)
class MeasureSection:
    """Section of a metric table; `details` are collapsed tables."""

    measure: Measure
    plots: list[Plot]
    tables: list[Table]
    details: list[tuple[str, Table]]


def measure_points(summary: pd.DataFrame, extractor: str, view: str) -> pd.DataFrame:
    """Return values over all perturbations, for `figure_measures`."""
    chosen = summary[
        summary["extractor"].isin([extractor, ""])
        & summary["view"].isin([view, ""])
        & summary["perturbation"].isin(["all", ""])
        & summary["task"].isin(["perturbation", ""])
        & (summary["variant"] == "")
        & summary["value"].notna()
    ]
    points = chosen.assign(
        role=[role(c) for c in chosen["comparison"]],
        low=chosen["ci_low"],
        high=chosen["ci_high"],
        cell_type=chosen["cell_type"].replace("", "all"),
    )
    points = points[points["role"] != ""]
    share = points["metric"] == "memorised_share"
    if not (share & (points["role"] == "floor")).any():
        # Without a row of real images, the value expected for new images is the floor.
        made = points[share & (points["role"] == "generated") & points["chance"].notna()]
        floors = made.assign(role="floor", value=made["chance"], low=np.nan, high=np.nan)
        points = pd.concat([points, floors])
    if (points["comparison"] == "generated-real@floor-n").any():
        points = points[points["comparison"] != "generated-real"]
    return points[["metric", "cell_type", "role", "value", "low", "high"]]


def _plots(
    measure: Measure, summary: pd.DataFrame, encoders: dict[str, str], mark: Mark
) -> list[Plot]:
    found: list[Plot] = []
    for extractor, view in encoders.items():
        points = measure_points(summary, extractor, view)
        points = points[points["metric"].isin(dict(measure.drawn))]
        if points.empty:
            continue
        judged = f"Measured with {mark(extractor)}, view “{view}”: " if extractor else ""
        found.append(
            Plot(
                f"{measure.name}-{extractor or 'all'}",
                f"{judged}{measure.title}",
                figure_measures(points, titles=dict(measure.drawn), floor=measure.floor),
                f"{judged}{', '.join(dict(measure.drawn).values())} of generated images, floor and "
                "controls. The values are in the table below.",
                f"{judged}orange: generated; grey band: "
                f"{measure.floor.removeprefix('floor: ')}. Lines are 95 % intervals.",
                collapsed=bool(found),
            )
        )
    return found


def _main_views(summary: pd.DataFrame, first: str) -> dict[str, str]:
    """The widest view of each encoder; the headline encoder comes first."""
    views: dict[str, str] = {}
    names = sorted(dict.fromkeys(summary["extractor"]), key=lambda name: name != first)
    for name in names:
        found = list(dict.fromkeys(summary.loc[summary["extractor"] == name, "view"]))
        views[name] = next((v for v in ("all", "rgb") if v in found), found[0])
    return views


def build_measures(
    evidence: Evidence, mark: Callable[[str], str], encoder: str
) -> list[MeasureSection]:
    """Make the sections of metric tables.

    Parameters
    ----------
    evidence
        Evidence of the experiment.
    mark
        Formats the name of an encoder.
    encoder
        Encoder of the headline; it comes first.
    """
    found = []
    for measure in SHOWN:
        frame = evidence.measures.get(measure.name)
        if frame is None or frame.empty:
            continue
        summary = named_cell_type(over_seeds(frame), evidence.cell_types)
        views = _main_views(summary, encoder)
        main = summary[
            (summary["extractor"].isin([next(iter(views)), ""]))
            & summary["view"].isin({next(iter(views.values())), *_WHOLE})
            & (summary["cell_type" if measure.singly else "perturbation"].isin(["all", ""]))
        ]
        if main.empty:
            main = summary
        rest = summary.drop(main.index)
        words = {"variant": measure.variant, "extractor": measure.extractor}
        details = []
        if len(rest):
            about = "Other encoders, views, and single perturbations or cell types."
            for made in measure_tables(rest, about, mark, **words):
                details.append((f"{_metrics(made)} in more detail ({len(made.rows):,} rows)", made))
        section = MeasureSection(
            measure,
            _plots(measure, summary, views, mark),
            measure_tables(main, _caption(main), mark, **words),
            details,
        )
        found.append(section)
    return found


def _metrics(made: Table) -> str:
    """Names of the metrics of a table."""
    names = dict.fromkeys(row[0].text for row in made.rows)
    return ", ".join(names)


def _caption(summary: pd.DataFrame) -> str:
    """Caption that explains the columns of a table."""
    caption = "95 % intervals below the values, where available."
    if "copy" in {role(c) for c in summary["comparison"]}:
        caption += " Copies of training images are a control: the values of a copying generator."
    return caption


def headline_row(
    evidence: Evidence, measure: str, metric: str, comparison: Sequence[str], **columns: str
) -> pd.Series | None:
    """Return one row of a metric table over all seeds, or None if it does not exist.

    Parameters
    ----------
    evidence
        Evidence of the experiment.
    measure, metric
        Names of table and metric.
    comparison
        Comparisons in order of preference.
    **columns
        Values of other columns, unless they are empty.
    """
    frame = evidence.measures.get(measure)
    if frame is None or frame.empty:
        return None
    wanted = {"cell_type": "all", "perturbation": "all", "variant": ""} | columns
    rows = select(frame, metric=metric, **{name: (value, "") for name, value in wanted.items()})
    rows = over_seeds(rows)
    for name in comparison:
        found = rows[rows["comparison"] == name]
        if len(found):
            return found.iloc[0]
    return None
