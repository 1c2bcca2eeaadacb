"""Read user tables: sample sheets, plate maps, lists of conditions, annotations."""

import csv
import gzip
import io
import zlib
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ZIP, _GZIP, _PARQUET = b"PK\x03\x04", b"\x1f\x8b", b"PAR1"
# Text, cells and columns take many times as much memory.
LARGEST = 1 << 28
# Comma first, to win ties.
_DELIMITERS = (",", "\t", ";")


def read_user_table(path: str | Path, what: str, *, text: bool = False) -> pd.DataFrame:
    """Read a table from CSV (optionally gzipped) or Parquet, keeping text as written.

    The separator is the most frequent of comma, tab and semicolon in the header. The text is UTF-8,
    or UTF-16 with a byte order mark; Windows-1252 is rejected, since it is ambiguous. Columns
    without name and content, as from Excel, are dropped.

    Parameters
    ----------
    path
        The table.
    what
        Name in messages, e.g. "sample sheet".
    text
        Convert columns of Parquet to text as well.

    Returns
    -------
    pandas.DataFrame
        From CSV, or with `text`, all columns are text, and empty cells are empty strings.

    Raises
    ------
    DataError
        If the file is missing, empty or not a table, a row has more cells than the header, or a
        column name is repeated.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The {what} {path} does not exist.")
    # By their first bytes: a download may have any name.
    try:
        with open(path, "rb") as stream:
            is_parquet = stream.read(len(_PARQUET)) == _PARQUET
    except OSError as error:
        raise DataError(f"The {what} {path} cannot be read: {error}.") from None
    if is_parquet:
        table = read_parquet(path).to_pandas()
        return table.astype("string").fillna("").astype(object) if text else table
    data = read_table_bytes(path, what)
    if data.startswith(_ZIP):
        raise DataError(
            f"The {what} {path} is an Excel workbook or another zip archive: save the sheet as CSV "
            "(UTF-8)."
        )
    return _table(_text(data, what, path), what, path)


def read_table_bytes(path: str | Path, what: str, largest: int | None = None) -> bytes:
    """Read the bytes of a CSV table, decompressing gzip.

    Parameters
    ----------
    path, what
        See `read_user_table`.
    largest
        Maximum number of (decompressed) bytes; None for 256 MB.

    Raises
    ------
    DataError
        If the file cannot be read or is larger.
    """
    largest = LARGEST if largest is None else largest
    try:
        with open(path, "rb") as stream:
            zipped = stream.read(len(_GZIP)) == _GZIP
        with gzip.open(path, "rb") if zipped else open(path, "rb") as content:
            data = content.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The {what} {path} cannot be read as CSV ({error}).") from None
    if len(data) > largest:
        raise DataError(
            f"The {what} {path} has more than {largest >> 20} "
            f"MB{' when it is unpacked' if zipped else ''}, too much for a text table: remove "
            "unneeded data, or split it."
        )
    return bytes(data)


def _text(data: bytes, what: str, path: Path) -> str:
    try:
        return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"The {what} {path} cannot be read as CSV: line {line} is not in UTF-8 (the byte "
            f"0x{data[error.start]:02x}). Save it as “CSV UTF-8”, with commas."
        ) from None


def _table(text: str, what: str, path: Path) -> pd.DataFrame:
    header = next(iter(text.splitlines()), "")
    if not header.strip():
        raise DataError(f"The {what} {path} is empty, or its first line is: it has no columns.")
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"The {what} {path} cannot be read as CSV: {error}.") from None
    names = [name.strip() for name in rows[0]]
    body: list[list[str]] = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if any(cell.strip() for cell in row[len(names) :]):
            raise DataError(
                f"The {what} {path} has {len(names)} columns, but row {line} has {len(row)} cells: "
                "quote text that contains the separator."
            )
        body.append([*row[: len(names)], *[""] * (len(names) - len(row))])
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"The {what} {path} has the column {name!r} more than once.")
    for place, name in enumerate(names):
        if not name and any(row[place].strip() for row in body):
            raise DataError(f"Column {place + 1} of the {what} {path} has no name: add one.")
    kept = [place for place, name in enumerate(names) if name]
    content = {names[place]: [row[place] for row in body] for place in kept}
    return pd.DataFrame(content, dtype=object)
