"""The values that the papers print, each with its place: `<paper>/published.csv`, read.

A row is a number: table, row, column, system; the value as printed, the ± behind it and the stars
of a test. An empty value is one that the paper does not give (a dash); its note says why. `quoted`
says where a number of a system comes from that is not the paper's own. Distances are as the paper
prints them: MorphoDiff's FID in hundreds, see `scales` in `setup.yaml`.
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
        Its place.
    printed
        As in the paper; empty where it gives none.
    printed_interval
        The number behind ±: half a 95 % interval over seeds (MorphGen).
    significance
        Stars of the paper's test, and what they mean is in its caption.
    quoted
        Where the number comes from, if it is not the paper's own.
    note
        What is to be known of it.
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
        """The number in plain units; None where the paper gives none."""
        # Multiplied and rounded: 0.78 in hundreds is 78 and not 78.00000000000001.
        return round(float(self.printed) * self._scale, 9) if self.printed else None

    @property
    def interval(self) -> float | None:
        """Half the width of its interval, in plain units."""
        return float(self.printed_interval) * self._scale if self.printed_interval else None


@cache
def published_values() -> tuple[Published, ...]:
    """All values, in the order of the papers."""
    found = []
    for paper in PAPERS:
        rows = csv.reader(paper_text(paper, "published.csv").splitlines())
        next(rows)  # The columns, which are the attributes behind `paper`.
        found += [Published(paper, *row) for row in rows]
    return tuple(found)


def published_table(paper: str, table: str) -> dict[tuple[str, str, str], Published]:
    """The values of a table by row, column and system, in its order; empty if there are none."""
    return {
        (value.row, value.column, value.system): value
        for value in published_values()
        if (value.paper, value.table) == (paper, table)
    }
