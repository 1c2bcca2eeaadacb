"""Published values of the papers, from `<paper>/published.csv`.

Each row is a value: table, row, column, system; the value as printed, its ± and the stars of a
test. A value that the paper does not give (a dash) is empty, with a note. `quoted` is the source of
values that the paper quotes. Distances are as printed: MorphoDiff's FID in hundreds, see `scales`
in `setup.yaml`.
"""

import csv
from dataclasses import dataclass
from functools import cache

from morphpipe.report.papers.setups import PAPERS, paper_text


@dataclass(frozen=True)
class Published:
    """One published value.

    Attributes
    ----------
    paper, table, row, column, system
        Position in the paper.
    printed
        Value as printed; empty if missing.
    printed_interval
        The ± as printed: half a 95 % interval over seeds (MorphGen).
    significance
        Stars of the paper's test, explained in its caption.
    quoted
        Source of the value, if the paper quotes it.
    note
        Remark.
    """

    paper: str
    table: str
    row: str
    column: str
    system: str
    printed: str
    printed_interval: str
    significance: str
    quoted: str
    note: str

    @property
    def _scale(self) -> float:
        return PAPERS[self.paper].scales.get(self.column, 1.0)

    @property
    def value(self) -> float | None:
        """Value in plain units; None if missing."""
        # Multiplied and rounded: 0.78 in hundreds is 78 and not 78.00000000000001.
        return round(float(self.printed) * self._scale, 9) if self.printed else None

    @property
    def interval(self) -> float | None:
        """Half the width of its interval, in plain units."""
        return float(self.printed_interval) * self._scale if self.printed_interval else None


@cache
def published_values() -> tuple[Published, ...]:
    """Return all values, in the order of the papers."""
    found = []
    for paper in PAPERS:
        rows = csv.reader(paper_text(paper, "published.csv").splitlines())
        next(rows)  # The columns, which are the attributes behind `paper`.
        found += [Published(paper, *row) for row in rows]
    return tuple(found)


def published_table(paper: str, table: str) -> dict[tuple[str, str, str], Published]:
    """Return the values of a table by row, column and system; empty if there are none."""
    return {
        (value.row, value.column, value.system): value
        for value in published_values()
        if (value.paper, value.table) == (paper, table)
    }
