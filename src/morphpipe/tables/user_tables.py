"""Tables that people write: sample sheets, plate maps, lists of conditions, annotations."""

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
# As text, as cells and as columns it takes many times as much memory.
LARGEST = 1 << 28
# Comma first: of equally frequent ones it is taken.
_DELIMITERS = (",", "\t", ";")


def read_user_table(path: str | Path, what: str, *, text: bool = False) -> pd.DataFrame:
    """A table in CSV (also compressed by gzip) or Parquet; text stays as it was written.

    Columns are separated by commas, tabs or semicolons, whichever the header has most of. The text
    is UTF-8, or UTF-16 if it says so itself; Windows-1252 is refused, since it cannot be told from
    other encodings. Columns without a name and without content are left out, as Excel writes them.

    Parameters
    ----------
    path
        The table.
    what
        What it is called in messages, for instance "sample sheet".
    text
        Make text of the columns of Parquet too.

    Returns
    -------
    pandas.DataFrame
        From CSV, and with `text`, all columns are text, empty cells the empty string.

    Raises
    ------
    DataError
        When there is no such file, it is empty or no table, a row has more cells than the header,
        or two columns have one name.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no {what} {path}.")
    # By their first bytes: a download may have another name.
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
    """The bytes of a table in CSV, unpacked where they are compressed by gzip.

    Parameters
    ----------
    path, what
        See `read_user_table`.
    largest
        How many bytes are read, or unpacked, at most; none: 256 MB.

    Raises
    ------
    DataError
        When the file cannot be read, or has more bytes, unpacked where it is compressed.
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
            f"The {what} {path} has more than {largest >> 20} MB"
            f"{' when it is unpacked' if zipped else ''}, too much for a table of text: leave out "
            "what is not needed, or divide it."
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
                "put text that holds the separator into quotes."
            )
        body.append([*row[: len(names)], *[""] * (len(names) - len(row))])
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"The {what} {path} has the column {name!r} more than once.")
    for place, name in enumerate(names):
        if not name and any(row[place].strip() for row in body):
            raise DataError(f"Column {place + 1} of the {what} {path} has no name: give it one.")
    kept = [place for place, name in enumerate(names) if name]
    content = {names[place]: [row[place] for row in body] for place in kept}
    return pd.DataFrame(content, dtype=object)
