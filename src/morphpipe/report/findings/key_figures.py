"""The key figures of an experiment, with their floor and controls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.evidence import Evidence
from morphpipe.report.measures import headline_row
from morphpipe.report.morphology import MorphologySection
from morphpipe.report.results import (
    COPY,
    FLOOR,
    FRECHET,
    GENERATED_AT_FLOOR,
    SHUFFLED,
    select,
    single,
)
from morphpipe.report.tables import count, number

_MADE = ("generated-real@floor-n", "generated-real")
_PER_CENT = "per cent"


@dataclass(frozen=True)
class Beside:
    """A reference value: its role (colour), label and value."""

    role: str
    label: str
    value: float


@dataclass(frozen=True)
class KeyFigure:
    """One of the ten key figures.

    Attributes
    ----------
    question
        Question that it answers.
    reading
        How to interpret it.
    value, low, high
        Value and mean limits of the within-seed intervals; NaN if missing.
    beside
        Reference values: floor, ceiling, controls and chance.
    unit
        `per cent`, `×` or empty.
    reason
        Reason for a missing value.
    note
        Additional remark.
    seeds_low, seeds_high
        Interval over seeds; NaN with a single seed.
    """

    question: str
    reading: str
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    beside: tuple[Beside, ...] = ()
    unit: str = ""
    reason: str = "not measured in this run"
    note: str = ""
    seeds_low: float = float("nan")
    seeds_high: float = float("nan")

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return bool(np.isfinite(self.value))

    def shown(self, value: float) -> str:
        """Format a value in the unit of this figure."""
        if self.unit == _PER_CENT:
            return f"{number(100 * value)} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"
        return number(value) + self.unit

    @property
    def interval(self) -> str:
        """The 95 % interval as text; empty if there is none."""
        if not np.isfinite(self.low):
            return ""
        if not np.isfinite(self.high):
            return f"{self.shown(self.low)} or more"
        return f"{self.shown(self.low)} to {self.shown(self.high)}"

    @property
    def seeds_interval(self) -> str:
        """The interval over seeds as text; empty if there is none."""
        if not np.isfinite(self.seeds_low):
            return ""
        return f"{self.shown(self.seeds_low)} to {self.shown(self.seeds_high)}"

    def place(self, value: float) -> float:
        """Position of a value on the line of this figure, 0 to 100."""
        ends = [self.value, *(b.value for b in self.beside), 0.0]
        ends += [end for end in (self.low, self.high) if np.isfinite(end)]
        low, high = min(ends), max(max(ends), 1.0 if self.unit == _PER_CENT else 0.0)
        if high == low:
            return 50.0
        return float(np.clip(100 * (value - low) / (high - low), 0, 100))


def _beside(*found: tuple[str, str, pd.Series | float | None]) -> tuple[Beside, ...]:
    values = []
    for role, label, value in found:
        plain = value["value"] if isinstance(value, pd.Series) else value
        if plain is not None and np.isfinite(plain):
            values.append(Beside(role, label, float(plain)))
    return tuple(values)


def _valued(figure: KeyFigure, row: pd.Series | None) -> KeyFigure:
    """Add the value of a row of `over_seeds`, or the reason why it is missing."""
    if row is None:
        return figure
    if not np.isfinite(row["value"]):
        return replace(figure, reason=row["reason"] or "no value, reason unknown")
    return replace(
        figure,
        value=float(row["value"]),
        low=float(row["ci_low"]),
        high=float(row["ci_high"]),
        seeds_low=float(row["seeds_low"]),
        seeds_high=float(row["seeds_high"]),
    )


def _distance(rows: pd.DataFrame) -> KeyFigure:
    overall = select(rows, cell_type="all", perturbation="all")
    ratio = single(overall, metric=tuple(f"relative_{metric}" for metric in FRECHET))
    floor = single(overall, metric=FRECHET, comparison=FLOOR)
    copy = single(overall, metric=FRECHET, comparison=COPY)
    copied = None
    if floor is not None and copy is not None and floor["value"] > 0:
        copied = float(copy["value"] / floor["value"])
    figure = KeyFigure(
        question="How far are generated images from real ones?",
        reading="Fréchet distance relative to that between two halves of the real images: 1× is as "
        "close as real images are to each other; less is not better.",
        beside=_beside(
            ("floor", "real vs real", 1.0), ("copy", "replayed training images", copied)
        ),
        unit="×",
    )
    return _valued(figure, ratio)


def _manifold(evidence: Evidence, metric: str, question: str, reading: str,
              where: Mapping[str, str]) -> KeyFigure:  # fmt: skip
    def row(*comparison: str) -> pd.Series | None:
        return headline_row(evidence, "manifold", metric, comparison, **where)

    figure = KeyFigure(
        question=question,
        reading=reading,
        unit=_PER_CENT,
        beside=_beside(
            ("floor", "real vs real", row("real-real")),
            ("copy", "replayed training images", row("copy-real")),
            ("shuffled", "shuffled labels", row("shuffled-real")),
        ),
    )
    return _valued(figure, row(*_MADE))


def _memorised(evidence: Evidence, where: Mapping[str, str]) -> KeyFigure:
    def row(comparison: str) -> pd.Series | None:
        return headline_row(evidence, "memorisation", "memorised_share", [comparison], **where)

    made = row("generated-training")
    figure = KeyFigure(
        question="How many are copies of a training image?",
        reading="Fraction of generated images with a nearest training image that is conspicuously "
        "close, compared with held-out real images. More than expected indicates memorisation.",
        unit=_PER_CENT,
        beside=_beside(
            ("floor", "expected for new images", None if made is None else made["chance"]),
            ("copy", "replayed training images", row("copy-training")),
        ),
    )
    return _valued(figure, made)


def conditions_followed(rows: pd.DataFrame) -> tuple[int, int]:
    """Count conditions whose generated images are closer than those of other conditions.

    Parameters
    ----------
    rows
        Rows of `over_seeds` for one encoder and view.

    Returns
    -------
    tuple
        Number of such conditions, and of all conditions with both distances.
    """
    pairs = select(rows, metric=FRECHET, comparison=(GENERATED_AT_FLOOR, SHUFFLED))
    pairs = pairs[(pairs["cell_type"] != "all") & (pairs["perturbation"] != "all")]
    wide = pairs.pivot_table(
        index=["cell_type", "perturbation"], columns="comparison", values="value"
    ).dropna()
    if not {GENERATED_AT_FLOOR, SHUFFLED} <= set(wide.columns):
        return 0, 0
    return int((wide[GENERATED_AT_FLOOR] < wide[SHUFFLED]).sum()), len(wide)


def _condition_fidelity(rows: pd.DataFrame) -> KeyFigure:
    better, conditions = conditions_followed(rows)
    figure = KeyFigure(
        question="Does the generator follow its condition?",
        reading="Fraction of conditions whose generated images are closer to the real images of "
        "the condition than images generated for other conditions.",
        unit=_PER_CENT,
        beside=_beside(("shuffled", "chance", 0.5)),
    )
    if not conditions:
        return figure
    return replace(figure, value=better / conditions, note=f"of {conditions:,} conditions")


def _order(rows: pd.DataFrame) -> KeyFigure:
    row = single(rows, metric="cate_rank_correlation", comparison="generated-real",
                 cell_type="all")  # fmt: skip
    figure = KeyFigure(
        question="Are the treatment effects in the same order as in real images?",
        reading="Rank correlation of generated and real effects: 1 is the same order, 0 none.",
        beside=_beside(("shuffled", "no order", 0.0)),
        note="" if row is None else f"over {count(row['n_left'])} perturbations",
    )
    return _valued(figure, row)


def _probe(
    rows: pd.DataFrame, figure: KeyFigure, *, made: str, floor: tuple[str, str]
) -> KeyFigure:
    """Accuracy of a perturbation probe, by its training and test images."""
    tasks = select(rows, metric="accuracy", task="perturbation", variant="")
    tasks = tasks[tasks["cell_type"].isin(["all", ""])]
    row = single(tasks, regime=made)
    beside = _beside(
        ("floor", floor[1], single(tasks, regime=floor[0])),
        ("shuffled", "chance", None if row is None else row["chance"]),
    )
    return _valued(replace(figure, unit=_PER_CENT, beside=beside), row)


def _retrieval(evidence: Evidence, where: Mapping[str, str]) -> KeyFigure:
    def row(*comparison: str) -> pd.Series | None:
        wanted = {**where, "task": "perturbation"}
        return headline_row(evidence, "retrieval", "mean_average_precision", comparison, **wanted)

    figure = KeyFigure(
        question="Do generated profiles retrieve real profiles of their perturbation?",
        reading="Mean average precision: 1 if they always rank first.",
        beside=_beside(
            ("floor", "split half of real images", row("real-real")),
            ("shuffled", "shuffled labels", row("shuffled-real", "shuffled")),
        ),
    )
    return _valued(figure, row(*_MADE))


def _morphology(morphology: MorphologySection | None) -> KeyFigure:
    figure = KeyFigure(
        "Do CellProfiler profiles agree?",
        "Correlation of mean profiles of generated and real fields of the same condition.",
    )
    if morphology is None:
        return figure
    rows = select(morphology.summary, view=morphology.recipe, metric="profile_correlation",
                  cell_type="all", perturbation="all")  # fmt: skip
    beside = _beside(
        ("floor", "split halves of real fields", single(rows, comparison="real-real")),
        ("shuffled", "other perturbations", single(rows, comparison="shuffled-real")),
    )
    return _valued(replace(figure, beside=beside), single(rows, comparison="generated-real"))


def key_figures(
    evidence: Evidence,
    summary: pd.DataFrame,
    morphology: MorphologySection | None,
    *,
    extractor: str,
    view: str,
) -> list[KeyFigure]:
    """Return the ten key figures, in the order of a reader's questions.

    Parameters
    ----------
    evidence
        Evidence of the experiment.
    summary
        Its metrics, from `over_seeds`.
    morphology
        CellProfiler results; None if not measured.
    extractor, view
        Encoder and view for all but the last.
    """
    rows = select(summary, extractor=extractor, view=view)
    where = {"extractor": extractor, "view": view}
    return [
        _distance(rows),
        _manifold(
            evidence,
            "precision",
            # Not "look like real ones": blurred fields of the right intensities lie there too.
            "Do generated images lie where real ones do?",
            "Fraction of generated images in the neighbourhood of real ones (precision). With few "
            "images neighbourhoods are large: also inspect the images.",
            where,
        ),
        _manifold(
            evidence,
            "recall",
            "Do generated images cover the variety of real ones?",
            "Fraction of real images within the generated distribution (recall).",
            where,
        ),
        _memorised(evidence, where),
        _condition_fidelity(rows),
        _order(rows),
        _probe(
            rows,
            KeyFigure(
                "Are generated images useful as training data?",
                "Perturbation classification accuracy on real images, trained on generated ones.",
            ),
            made="generated-real",
            floor=("real-real", "trained on real images"),
        ),
        _probe(
            _on_other_batches(evidence, where),
            KeyFigure(
                "Do generated images help on unseen batches?",
                "Perturbation classification accuracy on real images of other batches, trained on "
                "real and generated ones.",
            ),
            made="real+generated-real@across-batches",
            floor=("real-real@across-batches", "trained on real images only"),
        ),
        _retrieval(evidence, where),
        _morphology(morphology),
    ]


def _on_other_batches(evidence: Evidence, where: Mapping[str, str]) -> pd.DataFrame:
    frame = evidence.measures.get("batches")
    if frame is None:
        frame = evidence.metrics.iloc[:0]
    return over_seeds(select(frame, **where))
