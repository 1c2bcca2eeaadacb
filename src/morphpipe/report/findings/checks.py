"""Validity checks of the evaluation, all computed from the results."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from morphpipe.config import Configuration
from morphpipe.report.evidence import Evidence
from morphpipe.report.findings.key_figures import conditions_followed
from morphpipe.report.findings.leakage import leakage
from morphpipe.report.measures import headline_row
from morphpipe.report.results import COPY, FLOOR, FRECHET, select, served_alignment, single
from morphpipe.report.tables import count, number

# With fewer images a Fréchet distance in hundreds of dimensions is mostly bias.
_FEW_IMAGES = 64


@dataclass(frozen=True)
class Check:
    """A condition that must hold for the results to be meaningful.

    Attributes
    ----------
    text
        The condition.
    holds
        None if it could not be checked.
    detail
        The values that were checked, or why the check was not possible.
    """

    text: str
    holds: bool | None
    detail: str
    words: ClassVar[tuple[str, str]] = ("yes", "no")

    @property
    def verdict(self) -> str:
        """The result as text."""
        return "not checked" if self.holds is None else self.words[not self.holds]


def _held_out(evidence: Evidence) -> Check:
    text = "No test image was used in training"
    train = set(evidence.split.loc[evidence.split["split"] == "train", "field_id"])
    shared = len(train & evidence.test_ids)
    if shared:
        return Check(text, False, f"{shared:,} of {len(evidence.test_ids):,} test images were.")
    found = leakage(evidence)
    return Check(text, found.holds, found.verdict if not found.holds else found.checked)


def _floor(rows: pd.DataFrame) -> Check:
    text = "There is a floor: the distance between real images"
    floor = single(rows, metric=FRECHET, comparison=FLOOR, cell_type="all", perturbation="all")
    if floor is None:
        return Check(text, None, "No distance was measured.")
    if not np.isfinite(floor["value"]):
        return Check(text, False, f"{floor['reason']}.")
    return Check(
        text, True, f"{number(floor['value'])}, split halves of {count(floor['n_left'])} images."
    )


def _enough(rows: pd.DataFrame) -> Check:
    text = f"There are enough images for a distance: at least {_FEW_IMAGES} per set"
    floor = single(rows, metric=FRECHET, comparison=FLOOR, cell_type="all", perturbation="all")
    if floor is None or not np.isfinite(floor["n_left"]):
        return Check(text, None, "No distance was measured.")
    size = int(floor["n_left"])
    return Check(
        text,
        size >= _FEW_IMAGES,
        f"Overall distances compare sets of {size:,} images; single conditions have fewer.",
    )


def _flagged(evidence: Evidence, comparison: str, where: dict[str, str]) -> bool:
    """Whether more images count as memorised than expected by chance, for any seed."""
    rows = select(
        evidence.measures["memorisation"], metric="memorised_share", comparison=comparison,
        cell_type="all", **where,
    )  # fmt: skip
    return any(notes.get("flagged") for notes in rows["notes"])


def _copies_seen(evidence: Evidence, where: dict[str, str]) -> Check:
    text = "Copies of training images are detected"
    made, copied = (
        headline_row(evidence, "memorisation", "memorised_share", [comparison], **where)
        for comparison in ("generated-training", "copy-training")
    )
    if copied is None or not np.isfinite(copied["value"]):
        return Check(text, None, "Memorisation was not measured.")
    detail = (
        f"{copied['value']:.0%} of replayed training images count as memorised; "
        f"{copied['chance']:.1%} are expected of new images"
    )
    if made is not None and np.isfinite(made["value"]):
        detail += f"; {made['value']:.1%} of generated images"
    return Check(text, _flagged(evidence, "copy-training", where), f"{detail}.")


def _not_copied(evidence: Evidence, where: dict[str, str]) -> Check:
    text = "The generated images are not copies"
    made = headline_row(
        evidence, "memorisation", "memorised_share", ["generated-training"], **where
    )
    if made is None or not np.isfinite(made["value"]) or not np.isfinite(made["chance"]):
        return Check(text, None, "Memorisation was not measured.")
    return Check(
        text,
        not _flagged(evidence, "generated-training", where),
        f"{made['value']:.1%} count as memorised (95 % interval {made['ci_low']:.1%} to "
        f"{made['ci_high']:.1%}); {made['chance']:.1%} are expected of new images.",
    )


def _copy_is_best(rows: pd.DataFrame) -> Check:
    text = "Real images score better than generated ones"
    overall = select(rows, metric=FRECHET, cell_type="all", perturbation="all")
    copy, made = (single(overall, comparison=c) for c in (COPY, "generated-real@floor-n"))
    if copy is None or made is None or not np.isfinite([copy["value"], made["value"]]).all():
        return Check(text, None, "There is no copy control.")
    return Check(
        text,
        bool(copy["value"] <= made["value"]),
        f"Replayed training images score {number(copy['value'])}, generated images "
        f"{number(made['value'])}.",
    )


def _condition(rows: pd.DataFrame) -> Check:
    text = "Distances are sensitive to the perturbation"
    better, conditions = conditions_followed(rows)
    if not conditions:
        return Check(text, None, "There are too few images per condition.")
    return Check(
        text,
        better > conditions / 2,
        f"In {better:,} of {conditions:,} conditions, images of the condition are closer than "
        "images of other conditions.",
    )


def _independent(configuration: Configuration, evidence: Evidence, extractor: str) -> Check:
    text = "The encoder was not used in training"
    if not extractor:
        return Check(text, None, "There is no encoder.")
    aligned = served_alignment(configuration, evidence.name, extractor)
    alignment = evidence.experiment.generator.alignment
    other = "no alignment" if alignment is None else f"alignment used {alignment.encoder}"
    return Check(text, not aligned, f"Measured with {extractor}; {other}.")


def _seeds(evidence: Evidence) -> Check:
    text = "Training was repeated"
    seeds = len(evidence.trainings)
    return Check(
        text,
        seeds > 1,
        f"{seeds} training {'seed' if seeds == 1 else 'seeds'}"
        + ("." if seeds > 1 else ": intervals do not include the variation between trainings."),
    )


def _real_cells(evidence: Evidence) -> Check:
    text = "The cells are real"
    if evidence.is_simulated:
        return Check(text, False, "The screen is simulated.")
    return Check(text, True, evidence.real.manifest.source)


def trust(
    configuration: Configuration,
    evidence: Evidence,
    summary: pd.DataFrame,
    *,
    extractor: str,
    view: str,
) -> list[Check]:
    """Return all checks of an experiment.

    Parameters
    ----------
    configuration
        Configuration of the run.
    evidence
        Evidence of the experiment.
    summary
        Its metrics, from `over_seeds`.
    extractor, view
        Encoder and view of the headline.
    """
    rows = select(summary, extractor=extractor, view=view)
    where = {"extractor": extractor, "view": view}
    return [
        _real_cells(evidence),
        _held_out(evidence),
        _independent(configuration, evidence, extractor),
        _floor(rows),
        _enough(rows),
        _copy_is_best(rows),
        _condition(rows),
        _copies_seen(evidence, where),
        _not_copied(evidence, where),
        _seeds(evidence),
    ]
