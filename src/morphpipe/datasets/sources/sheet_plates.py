"""Plates of a user's sample sheet, as needed for the graph of jobs."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.preparation.plane_files import parse_location
from morphpipe.datasets.sources.sheet import ILLUMINATION, KEY_COLUMNS, plate_names
from morphpipe.tables.user_tables import read_user_table


def sheet_plates(path: str | Path) -> tuple[str, ...]:
    """List the plates of a sheet by first row, named as in `SampleSheet.plates`.

    Raises
    ------
    DataError
        If the sheet is unreadable, has no column `plate` or no rows.
    """
    return tuple(_plates(Path(path)).unique())


def rows_sha256(path: str | Path, plate: str) -> str:
    """Hash the rows of a plate, independent of other plates."""
    path = Path(path)
    rows = _table(path, path.stat().st_mtime_ns)[(_plates(path) == plate).to_numpy()]
    ordered = rows.astype("string").fillna("").sort_index(axis=1)
    return hashlib.sha256(ordered.to_csv(index=False).encode()).hexdigest()


def files_sha256(path: str | Path, plate: str, columns: Sequence[str]) -> str:
    """Hash the sizes and dates of a plate's files, to detect new exports.

    Parameters
    ----------
    path
        The sheet.
    plate
        Name as in `sheet_plates`.
    columns
        Columns with locations of planes or illumination functions. Missing columns and files and
        invalid locations are left for the jobs to report.
    """
    path = Path(path)
    rows = _table(path, path.stat().st_mtime_ns)[(_plates(path) == plate).to_numpy()]
    folder, digest = str(path.parent), hashlib.sha256()
    for file in _named_files(rows, columns):
        try:
            found = os.stat(os.path.join(folder, file))
        except (OSError, ValueError):
            state = "missing"
        else:
            # Whole seconds: not all shared file systems store fractions.
            state = f"{found.st_size} {int(found.st_mtime)}"
        digest.update(f"{file}\0{state}\0".encode())
    return digest.hexdigest()


def image_columns(table: pd.DataFrame) -> list[str]:
    """List the columns of a sheet whose first non-empty cell is an image path.

    Raises
    ------
    DataError
        If there is none.
    """
    found = []
    for column in table.columns:
        values = table[column].astype("string").str.strip()
        filled = values[values.fillna("") != ""]
        if column in KEY_COLUMNS or column.startswith(ILLUMINATION) or filled.empty:
            continue
        try:
            parse_location(filled.iloc[0])
        except DataError:
            continue
        found.append(str(column))
    if not found:
        raise DataError(
            "No column of the sheet contains image paths (.tif, .tiff, .png): add one per channel."
        )
    return found


def _named_files(rows: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    files: dict[str, None] = {}
    for column in columns:
        for location in rows[column].dropna().unique() if column in rows else []:
            text = str(location).strip()
            if column.startswith(ILLUMINATION):
                archive, mark, _ = text.partition(".zip!")
                files[f"{archive}.zip" if mark else text] = None
                continue
            with suppress(DataError):
                files[parse_location(text).file] = None
    return list(files)


def _plates(path: Path) -> pd.Series:
    table = _table(path, path.stat().st_mtime_ns if path.exists() else 0)
    if "plate" not in table or table.empty:
        raise DataError(
            f"The sample sheet {path} has no column `plate`, or no rows: see `morphpipe datasets "
            "check --help` for the format."
        )
    frame = pd.DataFrame({"plate": table["plate"].astype("string").str.strip()})
    frame["batch"] = table["batch"].astype("string").str.strip() if "batch" in table else "1"
    return plate_names(frame)


@lru_cache(maxsize=8)
def _table(path: Path, changed: int) -> pd.DataFrame:
    """Read the sheet; `changed` is its date, to invalidate the cache."""
    return read_user_table(path, "sample sheet")
