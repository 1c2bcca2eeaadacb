"""Tables as CSV files, with unrounded numbers."""

import csv
import io
import re

from morphpipe.report.tables import Cell, Table

_DIGITS = re.compile(r"[+−-]?[\d,]*\.?\d+(e[+-]?\d+)?")
# Spreadsheets run text with these prefixes as formulas.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _plain(text: str) -> str:
    """Return numbers without separators, and text escaped against formulas."""
    if _DIGITS.fullmatch(text):
        return text.replace(",", "").replace("−", "-")
    return f"'{text}" if text.startswith(_FORMULA) else text


def _main(cell: Cell) -> str:
    if cell.value is not None:
        return repr(cell.value)
    return "" if cell.text == "–" else _plain(cell.text)


def comma_separated(table: Table) -> str:
    """Return a table as CSV (RFC 4180).

    Columns with intervals or notes are followed by columns of interval limits or notes.

    Parameters
    ----------
    table
        Table with all rows, including those that are not shown on the page.
    """
    columns = []
    for index, head in enumerate(table.headers):
        cells = [row[index] for row in table.rows]
        title = _plain(head.text)
        columns.append([title, *map(_main, cells)])
        intervals = any(cell.low is not None or cell.high is not None for cell in cells)
        if intervals:
            for end, name in (("low", "95 % low"), ("high", "95 % high")):
                values = [getattr(cell, end) for cell in cells]
                columns.append(
                    [f"{title} ({name})", *("" if v is None else repr(v) for v in values)]
                )
        elif any(cell.note for cell in cells):
            notes = ["; ".join(cell.note.split("\n")) for cell in cells]
            columns.append([f"{title} (note)", *map(_plain, notes)])
    stream = io.StringIO()
    csv.writer(stream).writerows(zip(*columns, strict=True))
    return stream.getvalue()
