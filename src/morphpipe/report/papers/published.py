"""The values that the papers print, each with its place: `published.csv` beside this file.

A row is a number: paper, table, row, column, system; the value as printed, the ± behind it and the
stars of a test. An empty value is one that the paper does not give (a dash); its note says why.
`quoted` says where a number of a system comes from that is not the paper's own. Distances stand as
the paper prints them: MorphoDiff's FID in hundreds, see `SCALES`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

SCALES: Mapping[tuple[str, str], float] = {("morphodiff", "FID"): 100.0}
"""What a printed value is multiplied with to be in plain units, by paper and column."""


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
        What stands behind ±: half a 95 % interval over seeds (MorphGen).
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
        return SCALES.get((self.paper, self.column), 1.0)

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
    text = resources.files("morphpipe.report.papers").joinpath("published.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    renamed = {"value": "printed", "interval": "printed_interval"}
    return tuple(Published(**{renamed.get(k, k): v for k, v in row.items()}) for row in rows)


def published_table(paper: str, table: str) -> dict[tuple[str, str, str], Published]:
    """The values of a table by row, column and system, in its order; empty if there are none."""
    return {
        (value.row, value.column, value.system): value
        for value in published_values()
        if (value.paper, value.table) == (paper, table)
    }
