"""Leakage between the sides of a split, as text and table."""

from dataclasses import dataclass

import pandas as pd

from morphpipe.datasets.splits.leakage import (
    HELD_OUT,
    SAME_PIXELS,
    SAME_STRUCTURE,
    SAME_WELL,
    pixel_hashes,
)
from morphpipe.report import tables
from morphpipe.report.evidence import Evidence

_WORDS = {
    HELD_OUT: ("field of a held-out condition is", "fields of held-out conditions are",
               "on a side other than test"),
    SAME_WELL: ("pair of fields of the same well is", "pairs of fields of the same well are",
                "on different sides"),
    SAME_PIXELS: ("pair of identical images is", "pairs of identical images are",
                  "on different sides"),
}  # fmt: skip


@dataclass(frozen=True)
class Leakage:
    """Result of the leakage check.

    Attributes
    ----------
    holds
        False if there is leakage, None if it was not computed.
    verdict
        The result in one or two sentences.
    checked
        Description of the comparisons.
    found
        Number of leaking fields and pairs.
    table
        Leaking fields and pairs; None if there are none.
    """

    holds: bool | None
    verdict: str
    checked: str
    found: int = 0
    table: tables.Table | None = None


def _checked(evidence: Evidence) -> str:
    keys = evidence.real.keys()
    wells = len(keys[["batch", "plate", "well"]].drop_duplicates())
    held = len(evidence.split_settings.hold_out)
    checks = [
        f"the sides of {len(keys):,} fields of {wells:,} wells",
        f"{held} held-out {'condition' if held == 1 else 'conditions'}"
        if held
        else "no held-out condition (none is configured)",
    ]
    if evidence.quality is None:
        checks.append("the pixels of the quality-checked fields")
    else:
        hashed = int(pixel_hashes(keys, evidence.quality).notna().sum())
        checks.append(
            f"the raw pixels of {'all' if hashed == len(keys) else f'{hashed:,}'} fields, "
            "by their SHA-256"
        )
    return f"Checked: {', '.join(checks[:-1])}, and {checks[-1]}."


def _table(rows: pd.DataFrame) -> tables.Table:
    cells: list[list[tables.Cell | str]] = [
        ["" if pd.isna(value) else tables.Cell(str(value), "long") for value in row]
        for row in rows[
            ["kind", "field_id", "side", "other_field_id", "other_side", "detail"]
        ].itertuples(index=False)
    ]
    headers = ["kind", "field", "side", "other field", "other side", "condition or group"]
    return tables.table("Leakage between sides of the split.", headers, cells)


def leakage(evidence: Evidence) -> Leakage:
    """Summarise leakage between the sides of the split."""
    found = evidence.leakage
    if found is None:
        return Leakage(None, "Leakage was not checked: this report has no leakage table.", "")
    checked = _checked(evidence)
    along = found["kind"] == SAME_STRUCTURE
    if along.any():
        checked += f" Also held out (same structure): {'; '.join(found['detail'][along])}."
    found = found[~along]
    if found.empty:
        verdict = "No well, held-out condition or identical image is on two sides."
        return Leakage(True, verdict, checked)
    findings = []
    for kind, (one, many, where) in _WORDS.items():
        count = int((found["kind"] == kind).sum())
        if count:
            findings.append(f"{count:,} {one if count == 1 else many} {where}")
    verdict = f"{'; '.join(findings)}. Test results overestimate the generator."
    return Leakage(False, verdict, checked, len(found), _table(found))
