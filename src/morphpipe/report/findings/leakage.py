"""Whether anything that is evaluated on has been seen in training, in words."""

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
    HELD_OUT: ("field of a held-out condition stands", "fields of held-out conditions stand",
               "on another side than test"),
    SAME_WELL: ("pair of fields of one well stands", "pairs of fields of one well stand",
                "on two sides"),
    SAME_PIXELS: ("pair of identical images stands", "pairs of identical images stand",
                  "on two sides"),
}  # fmt: skip


@dataclass(frozen=True)
class Leakage:
    """What the report says of leakage.

    Attributes
    ----------
    holds
        True where nothing leaks, False where something does, None where it was not computed.
    verdict
        A sentence or two.
    checked
        What was compared with what.
    found
        Number of fields and pairs that leak.
    table
        What leaks; None where nothing does.
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
    said = [
        f"the sides of {len(keys):,} fields of {wells:,} wells",
        f"{held} held-out {'condition' if held == 1 else 'conditions'}"
        if held
        else "no held-out condition, for none is configured",
    ]
    if evidence.quality is None:
        said.append("the pixels of the fields that were looked at")
    else:
        hashed = int(pixel_hashes(keys, evidence.quality).notna().sum())
        said.append(
            f"the raw pixels of {'all' if hashed == len(keys) else f'{hashed:,}'} fields, "
            "by their SHA-256"
        )
    return f"Checked: {', '.join(said[:-1])}, and {said[-1]}."


def _table(rows: pd.DataFrame) -> tables.Table:
    cells: list[list[tables.Cell | str]] = [
        ["" if pd.isna(value) else tables.Cell(str(value), "long") for value in row]
        for row in rows[
            ["kind", "field_id", "side", "other_field_id", "other_side", "detail"]
        ].itertuples(index=False)
    ]
    headers = ["what leaks", "field", "its side", "other field", "its side", "condition or group"]
    return tables.table("What stands on two sides of the split.", headers, cells)


def leakage(evidence: Evidence) -> Leakage:
    """Say what stands on two sides of the split, or that nothing does."""
    found = evidence.leakage
    if found is None:
        return Leakage(
            None, "Nobody looked for leakage: no leakage table was given to this report.", ""
        )
    checked = _checked(evidence)
    along = found["kind"] == SAME_STRUCTURE
    if along.any():
        checked += f" Held out along with what was named: {'; '.join(found['detail'][along])}."
    found = found[~along]
    if found.empty:
        verdict = "No well, held-out condition or identical image stands on two sides."
        return Leakage(True, verdict, checked)
    said = []
    for kind, (one, many, where) in _WORDS.items():
        count = int((found["kind"] == kind).sum())
        if count:
            said.append(f"{count:,} {one if count == 1 else many} {where}")
    verdict = f"{'; '.join(said)}. Results on the test side flatter the generator."
    return Leakage(False, verdict, checked, len(found), _table(found))
