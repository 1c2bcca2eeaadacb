"""Predefined claims, checked against the ground truth of a simulated screen."""

from itertools import pairwise

import numpy as np
import pandas as pd

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.evidence import Evidence
from morphpipe.report.findings.checks import Check
from morphpipe.report.results import select, single
from morphpipe.report.tables import number

GRADED_SERIES = ("inert", "graded-low", "graded-mid", "graded-high")
TIMES_CHANCE = 2.0


class Claim(Check):
    """A predefined claim, see `Check`."""

    words = ("holds", "does not hold")


def effect_order(summary: pd.DataFrame, cell_type: str, comparison: str) -> dict[str, float]:
    """Return CATE by perturbation, without missing values."""
    rows = select(summary, metric="cate", comparison=comparison, cell_type=cell_type)
    rows = rows[rows["value"].notna()]
    return dict(zip(rows["perturbation"], rows["value"], strict=True))


def in_order(values: dict[str, float], names: list[str]) -> bool:
    """Whether the values increase strictly in the order of the names."""
    return all(values[a] < values[b] for a, b in pairwise(names))


def _series(evidence: Evidence, cell_type: str) -> list[str]:
    """Generated perturbations of the graded series, sorted by true effect."""
    truth = evidence.true_effects(cell_type)
    return sorted((p for p in GRADED_SERIES if p in truth), key=lambda p: truth[p])


def _held_in_seeds(rows: pd.DataFrame, cell_type: str, names: list[str]) -> str:
    """Describe for how many single seeds the order is correct; empty with one seed."""
    right = total = 0
    seeds = rows[rows["comparison"] == "generated"]
    for _, part in seeds.groupby(["training_seed", "sampling_seed"], dropna=False):
        values = effect_order(over_seeds(part), cell_type, "generated")
        if set(names) <= values.keys():
            total += 1
            right += in_order(values, names)
    return f" Single seeds: {right} of {total}." if total > 1 else ""


def _order_claim(rows: pd.DataFrame, evidence: Evidence, cell_type: str) -> Claim:
    where = "averaged over cell types" if cell_type == "all" else f"in {cell_type}"
    names = _series(evidence, cell_type)
    text = f"Generated treatment effects are in the true order {where}: {' < '.join(names)}"
    if len(names) < 2:
        missing = "fewer than two perturbations of the graded series were generated"
        return Claim(f"Generated treatment effects are in the true order {where}", None, missing)
    rows = select(rows, metric="cate", cell_type=cell_type)
    summary = over_seeds(rows)
    made = effect_order(summary, cell_type, "generated")
    missing_names = [name for name in names if name not in made]
    if missing_names:
        row = single(summary, metric="cate", comparison="generated", cell_type=cell_type,
                     perturbation=missing_names[0])  # fmt: skip
        reason = (row is not None and row["reason"]) or "it is not in the metric tables"
        return Claim(text, None, f"No effect of {missing_names[0]}: {reason}.")
    left_out = [p for p in GRADED_SERIES if p not in names]
    detail = f"Not generated: {', '.join(left_out)}. " if left_out else ""
    detail += "CATE " + ", ".join(f"{name} {number(made[name])}" for name in names) + "."
    detail += _held_in_seeds(rows, cell_type, names)
    real = effect_order(summary, cell_type, "real")
    if set(names) <= real.keys():
        state = "are" if in_order(real, names) else "are not"
        detail += f" The real held-out images {state} in this order: "
        detail += ", ".join(f"{name} {number(real[name])}" for name in names) + "."
    return Claim(text, in_order(made, names), detail)


def _probe_claim(rows: pd.DataFrame) -> Claim:
    claim = (
        "A probe trained only on generated images predicts the perturbation of held-out real images"
    )
    text = f"{claim} with at least {TIMES_CHANCE:g} times the chance accuracy"
    chosen = select(rows, metric="accuracy", regime="generated-real", task="perturbation")
    row = single(over_seeds(chosen))
    if row is None or not np.isfinite(row["value"]):
        reason = "" if row is None else row["reason"]
        return Claim(text, None, f"No accuracy: {reason or 'it is not in the metric tables'}.")
    value, chance = row["value"], row["chance"]
    if not chance > 0:
        return Claim(text, None, "The chance level is not in the metric tables.")
    needed = TIMES_CHANCE * chance
    if needed >= 1:
        # With two perturbations only a perfect probe would reach twice the chance level.
        needed = (1 + chance) / 2
        text = f"{claim} with an accuracy at least half-way between chance and 1"
    detail = (
        f"Accuracy {number(value)}, chance {number(chance)}: {number(value / chance)} times chance."
    )
    return Claim(text, bool(value >= needed), detail)


def check_claims(evidence: Evidence, *, extractor: str, view: str) -> list[Claim]:
    """Check the claims for one encoder and view.

    With several seeds the mean decides, and the details give the number of single seeds with the
    correct order. There are no claims for data without known true effects.
    """
    if not evidence.is_simulated:
        return []
    rows = select(evidence.metrics, extractor=extractor, view=view)
    places = [*evidence.cell_types, *(["all"] if len(evidence.cell_types) > 1 else [])]
    return [*(_order_claim(rows, evidence, place) for place in places), _probe_claim(rows)]
