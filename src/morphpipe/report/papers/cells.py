"""Cells of a table: values of this run and published values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from morphpipe.report.papers.items import Item
from morphpipe.report.papers.measured import Estimate, absent, difference
from morphpipe.report.papers.published import Published, published_table

FLOOR, COPY, SHUFFLED = "floor (real vs real)", "copy control", "shuffled control"
AT_FLOOR = "{}, at the floor's number of images"
SYSTEMS = {"at floor": AT_FLOOR, "floor": FLOOR, "copy": COPY, "shuffled": SHUFFLED}
"""Floor and controls, by their names in `items.yaml`."""
NOT_COMPARABLE = "no difference: data or weights differ from the paper"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    row, column, system
        Position in the table.
    estimate
        Value of this run, or the reason for a missing value.
    published
        Published value; None if there is none.
    encoder
        Encoder of the features, by its name in the configuration; empty without an encoder.
    comparable
        Whether to compute the difference to the published value.
    """

    row: str
    column: str
    system: str
    estimate: Estimate
    published: Published | None = None
    encoder: str = ""
    comparable: bool = False

    @property
    def difference(self) -> Estimate:
        """Value of this run minus published value, with an interval from both."""
        if self.published is None or self.published.value is None:
            return absent("")
        there, half = self.published.value, self.published.interval or 0.0
        if self.estimate.value is None:
            return absent("")
        if not self.comparable:
            return absent(NOT_COMPARABLE)
        return difference(self.estimate, Estimate(there, there - half, there + half))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and CSV."""
        here, there, apart = self.estimate, self.published, self.difference
        over_seeds = here.over_seeds
        reasons = [here.reason, apart.reason]
        return {
            "row": self.row,
            "column": self.column,
            "system": self.system,
            "produced": here.value,
            "ci_low": here.low,
            "ci_high": here.high,
            "seeds": len(here.by_seed) or None,
            "seeds_low": None if over_seeds is None else over_seeds[0],
            "seeds_high": None if over_seeds is None else over_seeds[1],
            "n": here.n_left,
            "n_real": here.n_right,
            "parts": here.parts if here.value is not None else None,
            "published": None if there is None else there.value,
            "published_ci": None if there is None else there.interval,
            "significance": "" if there is None else there.significance,
            "difference": apart.value,
            "difference_low": apart.low,
            "difference_high": apart.high,
            "quoted": there is not None and bool(there.quoted),
            "quoted_from": "" if there is None else there.quoted,
            "encoder": self.encoder,
            "reason": "; ".join(reason for reason in reasons if reason),
            "note": "" if there is None else there.note,
        }


@dataclass
class PaperTable:
    """A table that is being filled.

    Attributes
    ----------
    item
        The item.
    comparable
        Whether to compute differences to published values, by paper and role.
    """

    item: Item
    comparable: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._published = published_table(self.item.paper, self.item.number)

    def add(
        self,
        row: str,
        column: str,
        system: str,
        estimate: Estimate,
        *,
        role: str = "",
        encoder: str = "",
        paper: str = "",
    ) -> None:
        """Add a value of this run; the published value of the same cell is joined."""
        key = (row, column, system)
        comparable = self.comparable.get((paper or self.item.paper, role), False)
        published = self._published.get(key)
        self.cells.append(Cell(*key, estimate, published, encoder, comparable))

    def add_note(self, note: str) -> None:
        """Add a note, unless it exists."""
        if note and note not in self.notes:
            self.notes.append(note)

    def finish(self, reason: str) -> None:
        """Add published values without a value of this run.

        Parameters
        ----------
        reason
            Reason for missing values.
        """
        there = {(cell.row, cell.column, cell.system) for cell in self.cells}
        elsewhere = any(
            "distance (" in place for row, column, _ in there for place in (row, column)
        )
        for key, published in self._published.items():
            if key not in there:
                why = reason
                if elsewhere and re.search("FID|KID", " ".join(key[:2])):
                    why = "not on Inception features: distances of this run are in separate columns"
                self.cells.append(Cell(*key, absent(why), published))
        rows = list(dict.fromkeys(row for row, _, _ in self._published))
        self.cells.sort(key=lambda cell: _place(rows, cell.row))

    @property
    def rows(self) -> list[str]:
        """Rows in the paper's order, then the others."""
        return _ordered(self._published, self.cells, 0)

    @property
    def columns(self) -> list[str]:
        """Columns in the paper's order, then the others."""
        return _ordered(self._published, self.cells, 1)


def _place(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)


def _ordered(
    published: Mapping[tuple[str, str, str], Published], cells: Sequence[Cell], part: int
) -> list[str]:
    first = [key[part] for key in published]
    others = [(cell.row, cell.column)[part] for cell in cells]
    return list(dict.fromkeys([*first, *others]))
