"""Published tables of named vectors: CSV or Parquet."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.tables.user_tables import read_table_bytes

# 512 numbers for each human gene take about 600 MB as text.
_LARGEST = 1 << 30


@dataclass(frozen=True)
class VectorTable:
    """Vectors by name.

    Attributes
    ----------
    names
        Unique, in the order of the file.
    vectors
        float64 [names, d], finite.
    header
        Names of the columns, including that of the names; None without a header.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float64]
    header: tuple[str, ...] | None

    @property
    def width(self) -> int:
        """Width of a vector."""
        return int(self.vectors.shape[1])

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the numeric columns."""
        return None if self.header is None else self.header[1:]

    def take(self, rows: list[int]) -> NDArray[np.float32]:
        """Return vectors by position, float32 [n, d]."""
        return self.vectors[rows].astype(np.float32)


def read_vectors(path: str | Path) -> VectorTable:
    """Read a table with names in the first column and numbers in the others.

    A CSV may be gzipped, and have a header or not. Instead of one column per number it may have a
    single column of bracketed lists, as in MorphoDiff's table of genes for RxRx1.

    Parameters
    ----------
    path
        CSV, or Parquet by its suffix.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, has missing or repeated names, rows of different
        length, or values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The table {path} does not exist.")
    header, names, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if not rows:
        raise DataError(f"{path} has no rows.")
    width = len(rows[0])
    for name, row in zip(names, rows, strict=True):
        if not name:
            raise DataError(f"{path} has a row without a name.")
        if len(row) != width or not width:
            raise DataError(f"{path}, {name!r}: {len(row)} numbers, but the first row has {width}.")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{path} has {name!r} {times} times: keep one of the rows.")
    vectors = np.stack(rows)
    if not np.isfinite(vectors).all():
        place, column = np.argwhere(~np.isfinite(vectors))[0]
        raise DataError(
            f"{path}, {names[place]!r}: number {column + 1} is empty or not finite. Fill it in, or "
            "remove the row."
        )
    return VectorTable(tuple(names), vectors, header)


def _csv(path: Path) -> tuple[tuple[str, ...] | None, list[str], list[NDArray[np.float64]]]:
    header: tuple[str, ...] | None = None
    names: list[str] = []
    rows: list[NDArray[np.float64]] = []
    content = io.BytesIO(read_table_bytes(path, "table of vectors", _LARGEST))
    try:
        with io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text)
            for line in filter(None, lines):
                try:
                    row = _numbers(line[1:])
                except ValueError as error:
                    if names or header is not None:
                        raise DataError(f"{path}, line {lines.line_num}: {error}.") from None
                    header = tuple(cell.strip() for cell in line)
                    continue
                if not names and header is None and _are_counted(row):
                    header = tuple(cell.strip() for cell in line)
                    continue
                names.append(line[0].strip())
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}).") from None
    if header is not None and rows and len(header) != len(rows[0]) + 1:
        # A single bracketed column: its name does not describe the numbers.
        header = None
    return header, names, rows


def _are_counted(row: NDArray[np.float64]) -> bool:
    """Whether the first line is 0, 1, 2 ..., pandas's default column names."""
    return len(row) > 1 and np.array_equal(row, np.arange(len(row)))


def _numbers(cells: list[str]) -> NDArray[np.float64]:
    if len(cells) == 1 and cells[0].lstrip().startswith("["):
        cells = cells[0].strip().strip("[]").replace(",", " ").split()
    numbers = np.empty(len(cells))
    for place, cell in enumerate(cells):
        try:
            numbers[place] = float(cell) if cell.strip() else np.nan
        except ValueError:
            raise ValueError(f"number {place + 1} is {cell!r}, which is none") from None
    return numbers


def _parquet(path: Path) -> tuple[tuple[str, ...], list[str], list[NDArray[np.float64]]]:
    table = read_parquet(path)
    if table.num_columns < 2:
        raise DataError(f"{path} has no columns of numbers.")
    for field in list(table.schema)[1:]:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            raise DataError(f"{path}: the column {field.name} has {field.type}, not numbers.")
    names = ["" if name is None else str(name) for name in table.column(0).to_pylist()]
    numbers = [
        column.cast(pa.float64()).fill_null(np.nan).to_numpy() for column in table.columns[1:]
    ]
    return tuple(table.schema.names), names, list(np.stack(numbers, axis=1))
