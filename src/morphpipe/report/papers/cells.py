"""The cells of a table: what this run has, and what the paper prints."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from morphpipe.report.papers.items import Item
from morphpipe.report.papers.measured import Estimate, absent, difference
from morphpipe.report.papers.published import Published, published_table

FLOOR, COPY, SHUFFLED = "floor (real against real)", "copy control", "shuffled control"
AT_FLOOR = "{}, at the floor's number of images"
SYSTEMS = {"at floor": AT_FLOOR, "floor": FLOOR, "copy": COPY, "shuffled": SHUFFLED}
"""Floor and controls, by their names in `items.yaml`."""
NOT_COMPARABLE = "not formed: other data or other weights than the paper's"


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes
    ----------
    row, column, system
        Its place.
    estimate
        What this run has; without a value its reason.
    published
        What the paper has; None where it has no such number.
    encoder
        Whose features the number is of, by its name in the configuration; empty where of none.
    comparable
        Whether a difference to the published value is formed.
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
        """Produced less published, with an interval from those of both."""
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
    """A table in the making.

    Attributes
    ----------
    item
        Which.
    comparable
        By paper and role: whether differences to the published values are formed.
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
        """Add what this run has for a place; the published value joins it by the same names."""
        key = (row, column, system)
        comparable = self.comparable.get((paper or self.item.paper, role), False)
        published = self._published.get(key)
        self.cells.append(Cell(*key, estimate, published, encoder, comparable))

    def add_note(self, note: str) -> None:
        """Add a sentence, once."""
        if note and note not in self.notes:
            self.notes.append(note)

    def finish(self, reason: str) -> None:
        """Add the published values for which this run has no number.

        Parameters
        ----------
        reason
            Why this run has none, for those of systems that it could run.
        """
        there = {(cell.row, cell.column, cell.system) for cell in self.cells}
        elsewhere = any(
            "distance (" in place for row, column, _ in there for place in (row, column)
        )
        for key, published in self._published.items():
            if key not in there:
                why = published.quoted if "does not run" in published.quoted else reason
                if elsewhere and why == reason and re.search("FID|KID", " ".join(key[:2])):
                    why = "not on Inception's features: this run's distances stand by themselves"
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
