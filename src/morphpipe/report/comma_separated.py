"""A table as a CSV file: what stands on the page, with numbers unrounded where they are known."""

import csv
import io
import re

from morphpipe.report.tables import Cell, Table

_DIGITS = re.compile(r"[+−-]?[\d,]*\.?\d+(e[+-]?\d+)?")
# A spreadsheet takes text that begins so for a formula, and would run it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _plain(text: str) -> str:
    """Text as a spreadsheet can read it: numbers without separators, nothing that it would run."""
    if _DIGITS.fullmatch(text):
        return text.replace(",", "").replace("−", "-")
    return f"'{text}" if text.startswith(_FORMULA) else text


def _main(cell: Cell) -> str:
    if cell.value is not None:
        return repr(cell.value)
    return "" if cell.text == "–" else _plain(cell.text)


def comma_separated(table: Table) -> str:
    """A table as CSV (RFC 4180).

    A column whose cells have intervals is followed by their ends, one whose cells have notes by
    these.

    Parameters
    ----------
    table
        With all its rows, also those that a page leaves out.
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
