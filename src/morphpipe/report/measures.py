"""Parts of an experiment's page that a metric table of their own is shown by."""

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
        Of the table's file, one of `morphpipe.report.evidence.MEASURES`.
    short, title
        In the navigation, and the question that it answers.
    reading
        How to read its values.
    drawn
        Titles of the figure's panels by metric; empty without a figure.
    floor
        What the figure's grey band is.
    variant
        What tells rows apart beside their columns.
    extractor
        What made the values.
    singly
        Whether values are of single perturbations, over all cell types.
    """

    name: str
    short: str
    title: str
    reading: str
    drawn: tuple[tuple[str, str], ...] = ()
    floor: str = "floor: real against real"
    variant: str = "variant"
    extractor: str = "encoder"
    singly: bool = False


SHOWN = (
    Measure(
        "manifold",
        "Coverage",
        "Do they cover what real cells do, and nothing else?",
        "Precision is the share of generated images that lie among real ones; recall the share of "
        "real images that lie among generated ones. High precision with low recall is a generator "
        "that draws a few good cells again and again. Density and coverage ask the same and bear "
        "outliers better. Real images against real ones need not reach 1 either: that is the "
        "floor.",
        tuple((name, name) for name in ("precision", "recall", "density", "coverage")),
    ),
    Measure(
        "memorisation",
        "Copies?",
        "Are they new, or copies of training images?",
        "For each image the nearest training image is sought. A typical image is near to many of "
        "them, a copy to one alone: an image counts as memorised where its nearest training image "
        "stands out from the next ones more than for nearly all held-out real images, which cannot "
        "have been copied. Training images replayed show that the test would find copies.",
        (
            ("memorised_share", "memorised share"),
            ("nearest_training_distance", "distance to training"),
        ),
        "floor: real images that are not in training",
    ),
    Measure(
        "retrieval",
        "Retrieval",
        "Are perturbations found again among real ones?",
        "Each generated profile asks for the real profiles of its own perturbation among all of "
        "them: mean average precision is 1 where they come first. One half of the real images "
        "asking for the other is what can be reached, shuffled labels are chance.",
        (("mean_average_precision", "mean average precision"),),
        "one half of the real images against the other",
    ),
    Measure(
        "condition_fidelity",
        "Own condition",
        "Are they of the condition that was asked for?",
        "How real images look is not the question here: the images generated for a perturbation "
        "are compared with the real ones of every perturbation of the cell type. The percentile is "
        "0 where those of their own come first of all, and 0.5 by chance, which is what a "
        "generator gets that ignores its condition, however real its images look.",
        (
            ("own_rank_percentile", "percentile of the own condition"),
            ("energy_distance", "energy distance to the own condition"),
        ),
        "one half of the real images against the other",
    ),
    Measure(
        "batches",
        "Other batches",
        "Does it hold on other batches?",
        "Training and test come from different batches here, so that a probe cannot live on what a "
        "batch looks like; beside it stands what it gets on new wells of its own batches. A "
        "correction takes the batch's look out of the features first. Effects across batches are "
        "held against controls of another batch, and controls against controls show how much of "
        "them is the batch.",
        variant="correction of features",
        singly=True,
    ),
    Measure(
        "matched",
        "Equal cell counts",
        "Does it hold at equal numbers of cells?",
        "Fields were drawn so that both sides have the same numbers of cells: what is left of an "
        "effect is not their number.",
        singly=True,
    ),
    Measure(
        "variance",
        "Variance",
        "Do they vary as real images do?",
        "Variance of the features within a condition. Less than that of real images is a generator "
        "whose images are too much alike.",
    ),
    Measure(
        "reconstruction",
        "The autoencoder",
        "What does the autoencoder lose before the generator sees an image?",
        "Held-out real images, encoded and decoded: the generator cannot do better than its "
        "autoencoder.",
        extractor="autoencoder",
    ),
    Measure(
        "cross_perturbation",
        "Real against real",
        "How far are real perturbations from each other?",
        "Distances between real images alone, at one number of images: what a distance of that "
        "size means. A perturbation against itself is the floor.",
        variant="other perturbation",
        singly=True,
    ),
)

_WHOLE = ("all", "rgb", "")


@dataclass(frozen=True)
class MeasureSection:
    """What the page shows of one metric table; tables that few will open are `details`."""

    measure: Measure
    plots: list[Plot]
    tables: list[Table]
    details: list[tuple[str, Table]]


def measure_points(summary: pd.DataFrame, extractor: str, view: str) -> pd.DataFrame:
    """Values over all perturbations, by metric and cell type, for `figure_measures`."""
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
        # What is expected of new images is the floor where they have no row of their own.
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
        judged = f"Judged by {mark(extractor)}, view “{view}”: " if extractor else ""
        found.append(
            Plot(
                f"{measure.name}-{extractor or 'all'}",
                f"{judged}{measure.title}",
                figure_measures(points, titles=dict(measure.drawn), floor=measure.floor),
                f"{judged}{', '.join(dict(measure.drawn).values())} of generated images, floor and "
                "controls. The values are in the table below.",
                f"{judged or 'Read it as: '}orange is generated, the grey band is "
                f"{measure.floor.removeprefix('floor: ')}. Lines are 95 % intervals.",
                aside=bool(found),
            )
        )
    return found


def _main_views(summary: pd.DataFrame, first: str) -> dict[str, str]:
    """The widest view of each encoder, that of the headline first."""
    views: dict[str, str] = {}
    names = sorted(dict.fromkeys(summary["extractor"]), key=lambda name: name != first)
    for name in names:
        found = list(dict.fromkeys(summary.loc[summary["extractor"] == name, "view"]))
        views[name] = next((v for v in ("all", "rgb") if v in found), found[0])
    return views


def build_measures(
    evidence: Evidence, mark: Callable[[str], str], encoder: str
) -> list[MeasureSection]:
    """Put together what the page shows of the metric tables with parts of their own.

    Parameters
    ----------
    evidence
        Of the experiment.
    mark
        An encoder's name as shown.
    encoder
        That of the headline; it comes first.
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
    """The metrics of a table, for the title of its fold."""
    names = dict.fromkeys(row[0].text for row in made.rows)
    return ", ".join(names)


def _caption(summary: pd.DataFrame) -> str:
    """What a table's columns are, where they do not say so themselves."""
    said = "The 95 % interval stands below, where there is one."
    if "copy" in {role(c) for c in summary["comparison"]}:
        said += " Copies of training images are a control: what a generator that copies would get."
    return said


def headline_row(
    evidence: Evidence, measure: str, metric: str, comparison: Sequence[str], **columns: str
) -> pd.Series | None:
    """One row of a metric table over all seeds, or None where it is not there.

    Parameters
    ----------
    evidence
        Of the experiment.
    measure, metric
        Which.
    comparison
        Those that will do, the first that there is; empty for rows that have none.
    **columns
        What other columns have to be, where they have anything.
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
