"""Sample sheets from folders exported by Operetta, Phenix and ImageXpress instruments."""

import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.sheet import normalise_well

Layout = Literal["auto", "operetta", "imagexpress"]

_IMAGES = (".tif", ".tiff", ".png")
_NAMES = {
    # Harmony (Revvity): row, column, field, plane, channel, then the timepoint (sk; from Harmony
    # 5.3 only t). Older Operettas write the record (rc), i.e. the channel, before a ch1.
    "operetta": re.compile(
        r"r(?P<row>\d{2})c(?P<column>\d{2})f(?P<site>\d+)p(?P<plane>\d+)(?:rc(?P<record>\d+))?"
        r"-ch(?P<channel>\d+)(?:sk(?P<timepoint>\d+)fk\d+fl\d+|t(?P<time>\d+))\.tiff?",
        re.IGNORECASE,
    ),
    # MetaXpress (Molecular Devices): well, site and wavelength if there are several, and in
    # databases a 36-digit id without separator. A lower-case s is not a row.
    "imagexpress": re.compile(
        r"(?:.+_)?(?P<well>(?-i:A[A-F]|[A-Z])\d{2})(?:_s(?P<site>\d+))?"
        r"(?:_w(?P<channel>\d(?=[0-9A-F]{8}-)|\d{1,2}(?=\.)))?"
        r"(?:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})?\.tiff?",
        re.IGNORECASE,
    ),
}
_PREFIX = {"operetta": "ch", "imagexpress": "w"}
_FOLDER = re.compile(r"(?P<kind>TimePoint|ZStep)_(?P<number>\d+)", re.IGNORECASE)
_FOLDER_MEANS = {"timepoint": "timepoint", "zstep": "plane"}
# Plane number of ImageXpress images outside existing ZStep_* folders.
_PROJECTION = 0
_SHOWN = 20
_SITE = ["plate", "well", "site"]


def _some(items: Iterable[object], separator: str = ", ") -> str:
    texts = [str(item) for item in items]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return separator.join(texts[:_SHOWN]) + more


def _image_files(folder: Path) -> list[str]:
    """Images below a folder, relative and sorted, without macOS's `._<name>` and `__MACOSX`."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__MACOSX"]
        for name in names:
            if name.lower().endswith(_IMAGES) and not name.startswith("._"):
                found.append((Path(parent) / name).relative_to(folder).as_posix())
    return sorted(found)


def _plate_of(location: PurePosixPath, folder: Path) -> str:
    """The nearest folder that is not one of the instrument's subfolders."""
    for part in reversed(location.parts[:-1]):
        if part.lower() != "images" and not _FOLDER.fullmatch(part):
            return part
    root = folder.resolve()
    return root.parent.name if root.name.lower() == "images" else root.name


def _row_letters(number: int) -> str:
    return chr(64 + number) if number <= 26 else "A" + chr(64 + number - 26)


def _plane_row(location: str, layout: str, folder: Path) -> dict[str, Any] | None:
    path = PurePosixPath(location)
    match = _NAMES[layout].fullmatch(path.name)
    if match is None:
        return None
    parts = match.groupdict()
    if layout == "operetta":
        well = normalise_well(f"{_row_letters(int(parts['row']))}{parts['column']}")
    else:
        if parts["site"] is None and parts["channel"] is None:
            return None
        well = normalise_well(parts["well"])
    if well is None:
        return None
    parts["channel"] = parts.get("record") or parts["channel"]
    parts["timepoint"] = parts.get("time") or parts.get("timepoint")
    row: dict[str, Any] = {"plate": _plate_of(path, folder), "well": well}
    for key in ("site", "channel", "plane", "timepoint"):
        row[key] = int(parts.get(key) or 1)
    if layout == "imagexpress":
        row["plane"] = _PROJECTION
    for part in path.parts[:-1]:
        if layout == "imagexpress" and (inside := _FOLDER.fullmatch(part)):
            row[_FOLDER_MEANS[inside["kind"].lower()]] = int(inside["number"])
    return row | {"location": location}


def _choose_layout(files: list[str], layout: str, folder: Path) -> str:
    if layout not in get_args(Layout):
        raise DataError(f"Unknown layout {layout!r}; choose from {', '.join(get_args(Layout))}.")
    if layout != "auto":
        return layout
    fitting = [name for name in _NAMES if any(_plane_row(file, name, folder) for file in files)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DataError(
            f"{folder} has files named as by {' and by '.join(fitting)}: choose the layout."
        )
    raise DataError(
        f"No image below {folder} is named as by an Operetta, Phenix or ImageXpress "
        f"({_some(files) if files else 'there are no TIFF or PNG files'}): write the sample sheet "
        "by hand or with another tool."
    )


def _choose(planes: pd.DataFrame, column: str, wanted: int | None, folder: Path) -> pd.DataFrame:
    present = sorted(planes[column].unique().tolist())
    if wanted is None and len(present) > 1:
        projected = " 0 stands for images outside the folders ZStep_*, e.g. projections."
        raise DataError(
            f"{folder} has several values of {column} ({_some(present)}): choose one with "
            f"`{column}`.{projected if _PROJECTION in present else ''}"
        )
    if wanted is not None and wanted not in present:
        raise DataError(f"{folder} has no {column} {wanted}; it has {_some(present)}.")
    return planes if wanted is None else planes[planes[column] == wanted]


def sheet_from_folder(
    folder: str | Path,
    *,
    layout: Layout = "auto",
    plate: str | None = None,
    plane: int | None = None,
    timepoint: int | None = None,
) -> pd.DataFrame:
    """Start a sample sheet from the fields of an instrument's export.

    File names are parsed as Harmony's (Operetta, Phenix; `r03c03f03p01-ch5sk1fk1fl1.tiff`, from
    Harmony 5.3 `r01c03f02p01-ch01t01.tiff`) or MetaXpress's (ImageXpress; `A01_s1_w1.tif`, with an
    optional prefix ending in `_` and an optional id at the end; `TimePoint_1` and `ZStep_1`
    folders).

    Parameters
    ----------
    folder
        Folder of the images, searched recursively. Save the sheet in this folder.
    layout
        Layout of the file names; "auto" detects it.
    plate
        The plate's name; None uses the name of each image's folder (above `Images`, `TimePoint_*`
        and `ZStep_*`).
    plane, timepoint
        The z-plane and timepoint to use if there are several. For ImageXpress, plane 0 stands for
        the images next to the folders `ZStep_*`.

    Returns
    -------
    pandas.DataFrame
        One row per field: `plate`, `well` (as A01), `site`, one column per channel (`ch1` ... or
        `w1` ...) with locations relative to `folder`, and an empty `perturbation` to fill in, by
        hand or with `add_layout`. A Python warning lists images with other names.

    Raises
    ------
    DataError
        If no image fits, a choice among several planes or timepoints is missing, a field lacks a
        channel that others have, or two images have the same channel and field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"The folder {folder} does not exist.")
    files = _image_files(folder)
    layout_name = _choose_layout(files, layout, folder)
    found = [(file, _plane_row(file, layout_name, folder)) for file in files]
    unmatched = [file for file, row in found if row is None]
    planes = pd.DataFrame([row for _, row in found if row is not None])
    if planes.empty:
        raise DataError(f"No image below {folder} is named as by {layout_name}: {_some(files)}.")
    if plate is not None:
        planes["plate"] = plate
    if (planes["plane"] == _PROJECTION).all():
        planes["plane"] = 1
    planes = _choose(planes, "plane", plane, folder)
    planes = _choose(planes, "timepoint", timepoint, folder)

    repeated = planes[planes.duplicated([*_SITE, "channel"], keep=False)]
    if len(repeated):
        raise DataError(
            f"Several images below {folder} have the same channel, plate, well and site: "
            f"{_some(repeated['location'])}. Move each plate to its own folder, or remove the "
            "copies."
        )
    sheet = planes.pivot(index=_SITE, columns="channel", values="location").sort_index()
    sheet = sheet.rename(columns=lambda number: f"{_PREFIX[layout_name]}{number}")
    lacking = [
        f"{name} well {well} site {site} lacks {', '.join(sheet.columns[empty])}"
        for (name, well, site), empty in zip(sheet.index, sheet.isna().to_numpy(), strict=True)
        if empty.any()
    ]
    if lacking:
        raise DataError(
            f"{len(lacking)} fields below {folder} lack a channel that others have: "
            f"{_some(lacking, '; ')}. Export them again, or move incomplete fields away."
        )
    if unmatched:
        warnings.warn(
            f"{len(unmatched)} images below {folder} are not named as by {layout_name} and are "
            f"ignored: {_some(unmatched)}",
            stacklevel=2,
        )
    sheet = sheet.rename_axis(columns=None).reset_index()
    return sheet.assign(perturbation=pd.Series(pd.NA, index=sheet.index, dtype="string"))


def add_layout(frame: pd.DataFrame, layout_table: pd.DataFrame) -> pd.DataFrame:
    """Fill in the perturbations of wells from a plate map.

    Parameters
    ----------
    frame
        See `sheet_from_folder`.
    layout_table
        One row per well: `well`, `perturbation`, any further column of a sample sheet, and `plate`
        if plates differ; otherwise the map holds for every plate.

    Returns
    -------
    pandas.DataFrame
        The rows of `frame`, with the map's columns. A Python warning lists wells of the map without
        an image.

    Raises
    ------
    DataError
        If the map lacks a column, has duplicate or malformed wells (not like A01), shares a column
        with `frame`, or lacks wells of `frame`.
    """
    missing = [column for column in ("well", "perturbation") if column not in layout_table]
    if missing:
        raise DataError(f"The plate map lacks the column {', '.join(missing)}.")
    keys = ["plate", "well"] if "plate" in layout_table else ["well"]
    known = layout_table.reset_index(drop=True)
    wells = known["well"].astype("string").fillna("").map(normalise_well)
    if wells.isna().any():
        raise DataError(
            f"The plate map has the wells {_some(known.loc[wells.isna(), 'well'])}, which are not "
            "wells like A01."
        )
    known = known.assign(well=wells)
    if "plate" in keys:
        known["plate"] = known["plate"].astype("string").str.strip()
    empty = known["perturbation"].astype("string").str.strip().fillna("") == ""
    if empty.any():
        raise DataError(f"The plate map has no perturbation for {_some(known['well'][empty])}.")
    repeated = known.loc[known.duplicated(keys), keys].agg(" ".join, axis=1)
    if len(repeated):
        raise DataError(f"The plate map has duplicates: {_some(repeated)}.")
    rest = frame.drop(columns="perturbation", errors="ignore")
    both = [column for column in known if column in rest and column not in keys]
    if both:
        raise DataError(f"The plate map and the fields both have the column {', '.join(both)}.")

    joined = rest.astype({key: "string" for key in keys}).merge(
        known.astype({key: "string" for key in keys}), on=keys, how="left", indicator="origin"
    )
    lone = joined.loc[joined["origin"] == "left_only", ["plate", "well"]].drop_duplicates()
    if len(lone):
        raise DataError(
            f"The plate map lacks {_some(lone.agg(' '.join, axis=1))}: add them, or remove their "
            "fields from the sheet."
        )
    imaged = set(joined[keys].itertuples(index=False, name=None))
    without = [key for key in known[keys].itertuples(index=False, name=None) if key not in imaged]
    if without:
        warnings.warn(
            f"{len(without)} wells of the plate map have no image: {_some(map(' '.join, without))}",
            stacklevel=2,
        )
    return joined.drop(columns="origin")
