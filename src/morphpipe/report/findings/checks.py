"""What can be trusted: checks of the measurement itself, computed and never edited."""

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

# Below it a Fréchet distance in hundreds of dimensions is mostly bias.
_FEW_IMAGES = 64


@dataclass(frozen=True)
class Check:
    """One thing that has to be so before a number means anything.

    Attributes
    ----------
    text
        What has to be so.
    holds
        None where it could not be checked.
    detail
        The values it was checked on, or why it could not be.
    """

    text: str
    holds: bool | None
    detail: str
    words: ClassVar[tuple[str, str]] = ("yes", "no")

    @property
    def verdict(self) -> str:
        """In words."""
        return "not checked" if self.holds is None else self.words[not self.holds]


def _held_out(evidence: Evidence) -> Check:
    text = "No image that the numbers rest on was trained on"
    train = set(evidence.split.loc[evidence.split["split"] == "train", "field_id"])
    shared = len(train & evidence.test_ids)
    if shared:
        return Check(text, False, f"{shared:,} of {len(evidence.test_ids):,} images were.")
    found = leakage(evidence)
    return Check(text, found.holds, found.verdict if not found.holds else found.checked)


def _floor(rows: pd.DataFrame) -> Check:
    text = "There is a floor: what real images score against each other"
    floor = single(rows, metric=FRECHET, comparison=FLOOR, cell_type="all", perturbation="all")
    if floor is None:
        return Check(text, None, "No distance was measured.")
    if not np.isfinite(floor["value"]):
        return Check(text, False, f"{floor['reason']}.")
    return Check(
        text, True, f"{number(floor['value'])}, halves of {count(floor['n_left'])} images."
    )


def _enough(rows: pd.DataFrame) -> Check:
    text = f"There are enough images for a distance: {_FEW_IMAGES} a side at least"
    floor = single(rows, metric=FRECHET, comparison=FLOOR, cell_type="all", perturbation="all")
    if floor is None or not np.isfinite(floor["n_left"]):
        return Check(text, None, "No distance was measured.")
    size = int(floor["n_left"])
    return Check(
        text,
        size >= _FEW_IMAGES,
        f"Overall distances compare {size:,} images a side; single conditions fewer.",
    )


def _flagged(evidence: Evidence, comparison: str, where: dict[str, str]) -> bool:
    """Whether more images count as memorised than chance explains, in any of the seeds."""
    rows = select(
        evidence.measures["memorisation"], metric="memorised_share", comparison=comparison,
        cell_type="all", **where,
    )  # fmt: skip
    return any(notes.get("flagged") for notes in rows["notes"])


def _copies_seen(evidence: Evidence, where: dict[str, str]) -> Check:
    text = "Copies of training images would be found"
    made, copied = (
        headline_row(evidence, "memorisation", "memorised_share", [comparison], **where)
        for comparison in ("generated-training", "copy-training")
    )
    if copied is None or not np.isfinite(copied["value"]):
        return Check(text, None, "Memorisation was not measured.")
    detail = (
        f"Training images replayed: {copied['value']:.0%} count as memorised, "
        f"where {copied['chance']:.1%} is expected of new ones"
    )
    if made is not None and np.isfinite(made["value"]):
        detail += f"; of the generated ones {made['value']:.1%}"
    return Check(text, _flagged(evidence, "copy-training", where), f"{detail}.")


def _not_copied(evidence: Evidence, where: dict[str, str]) -> Check:
    text = "The generated images are no copies"
    made = headline_row(
        evidence, "memorisation", "memorised_share", ["generated-training"], **where
    )
    if made is None or not np.isfinite(made["value"]) or not np.isfinite(made["chance"]):
        return Check(text, None, "Memorisation was not measured.")
    return Check(
        text,
        not _flagged(evidence, "generated-training", where),
        f"{made['value']:.1%} count as memorised (95 % interval {made['ci_low']:.1%} to "
        f"{made['ci_high']:.1%}), where {made['chance']:.1%} is expected of new images.",
    )


def _copy_is_best(rows: pd.DataFrame) -> Check:
    text = "The distance knows real images when it sees them"
    overall = select(rows, metric=FRECHET, cell_type="all", perturbation="all")
    copy, made = (single(overall, comparison=c) for c in (COPY, "generated-real@floor-n"))
    if copy is None or made is None or not np.isfinite([copy["value"], made["value"]]).all():
        return Check(text, None, "Training images were not replayed.")
    return Check(
        text,
        bool(copy["value"] <= made["value"]),
        f"Real training images score {number(copy['value'])}, generated ones "
        f"{number(made['value'])}.",
    )


def _condition(rows: pd.DataFrame) -> Check:
    text = "The numbers see the perturbation, not only cells"
    better, conditions = conditions_followed(rows)
    if not conditions:
        return Check(text, None, "There are too few images of single conditions.")
    return Check(
        text,
        better > conditions / 2,
        f"In {better:,} of {conditions:,} conditions images of the condition are closer than "
        "those of others.",
    )


def _independent(configuration: Configuration, evidence: Evidence, extractor: str) -> Check:
    text = "The judge did not take part in training"
    if not extractor:
        return Check(text, None, "There is no encoder.")
    taught = served_alignment(configuration, evidence.name, extractor)
    alignment = evidence.experiment.generator.alignment
    other = "nothing was aligned" if alignment is None else f"alignment used {alignment.encoder}"
    return Check(text, not taught, f"Judged by {extractor}; {other}.")


def _seeds(evidence: Evidence) -> Check:
    text = "Another training was tried"
    seeds = len(evidence.trainings)
    return Check(
        text,
        seeds > 1,
        f"{seeds} training {'seed' if seeds == 1 else 'seeds'}"
        + ("." if seeds > 1 else ": intervals do not hold what another training would change."),
    )


def _real_cells(evidence: Evidence) -> Check:
    text = "The cells are real"
    if evidence.is_simulated:
        return Check(text, False, "The screen is simulated: nothing here is about real cells.")
    return Check(text, True, evidence.real.manifest.source)


def trust(
    configuration: Configuration,
    evidence: Evidence,
    summary: pd.DataFrame,
    *,
    extractor: str,
    view: str,
) -> list[Check]:
    """All checks of an experiment.

    Parameters
    ----------
    configuration
        Of the run.
    evidence
        Of the experiment.
    summary
        Of its metrics, from `over_seeds`.
    extractor, view
        By which the headline's numbers are measured.
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
