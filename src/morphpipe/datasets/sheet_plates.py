"""The plates of a user's sample sheet, as the graph of jobs needs them before any job runs."""

import hashlib
from functools import lru_cache
from pathlib import Path

import pandas as pd

from morphpipe.datasets.planes import parse_location
from morphpipe.datasets.sheet import (
    ILLUMINATION,
    KEY_COLUMNS,
    plate_names,
)
from morphpipe.datasets.user_tables import read_user_table
from morphpipe.errors import DataError


def sheet_plates(path: str | Path) -> tuple[str, ...]:
    """Plates of a sheet in the order of their first rows, named as in `SampleSheet.plates`.

    Raises
    ------
    DataError
        When the sheet cannot be read, has no column `plate` or no rows.
    """
    return tuple(_plates(Path(path)).unique())


def rows_sha256(path: str | Path, plate: str) -> str:
    """Hash of a plate's own rows: it changes when one of them does, and not with other plates."""
    path = Path(path)
    rows = _table(path, path.stat().st_mtime_ns)[(_plates(path) == plate).to_numpy()]
    ordered = rows.astype("string").fillna("").sort_index(axis=1)
    return hashlib.sha256(ordered.to_csv(index=False).encode()).hexdigest()


def image_columns(table: pd.DataFrame) -> list[str]:
    """Columns of a sheet whose first filled cell names an image, in order.

    Raises
    ------
    DataError
        When there is none.
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
            "No column of the sheet holds paths of images (.tif, .tiff, .png): add one per channel."
        )
    return found


def _plates(path: Path) -> pd.Series:
    table = _table(path, path.stat().st_mtime_ns if path.exists() else 0)
    if "plate" not in table or table.empty:
        raise DataError(
            f"The sample sheet {path} has no column `plate`, or no rows: see `morphpipe datasets "
            "check --help` for what a sheet holds."
        )
    frame = pd.DataFrame({"plate": table["plate"].astype("string").str.strip()})
    frame["batch"] = table["batch"].astype("string").str.strip() if "batch" in table else "1"
    return plate_names(frame)


@lru_cache(maxsize=8)
def _table(path: Path, changed: int) -> pd.DataFrame:
    """The sheet as it is; `changed` is its date, so that a new one is read anew."""
    return read_user_table(path, "sample sheet")
