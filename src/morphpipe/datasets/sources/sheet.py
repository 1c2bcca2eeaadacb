"""The sample sheet: one row per raw field of view, with the locations of its planes."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.tables.manifest import Channel
from morphpipe.tables.zip_directory import relative_to

KEY_COLUMNS = (
    "field_id",
    "plate",
    "well",
    "site",
    "cell_type",
    "batch",
    "perturbation",
    "perturbation_kind",
    "control",
    "concentration",
    "gene",
    "smiles",
    "moa",
)
REQUIRED_COLUMNS = ("plate", "well", "perturbation")
ILLUMINATION = "illumination:"
# Prefix of non-fatal entries of `sheet_faults`.

_METADATA_KEY = b"morphpipe"
# Rows A to AF, columns 1 to 48: plates of up to 1,536 wells.
_WELL = re.compile(r"(A?[A-F]|[G-Z])([0-9]{1,2})")


@dataclass(frozen=True)
class SheetChannel:
    """One channel of a user's table.

    Attributes
    ----------
    name
        Short name, also the plane's name in an image archive.
    stain
        The dye and its target.
    column
        The column that holds the locations of its planes.
    """

    name: str
    stain: str
    column: str


@dataclass(frozen=True)
class SampleSheet:
    """Raw fields of view, ready to be preprocessed.

    Attributes
    ----------
    frame
        `KEY_COLUMNS`, one column per channel name with locations (see
        `morphpipe.datasets.preparation.planes`), and optionally `illumination:<channel name>` with
        the locations of illumination functions (`.npy`). `site` is int64, `concentration` float64
        (micromolar, NaN if none), everything else a string or missing.
    channels
        In order.
    pixel_size
        Micrometres per pixel (y, x), or None if unknown.
    licence, source
        Licence and source of the images.
    folder
        Base of the locations.
    """

    frame: pd.DataFrame
    channels: tuple[Channel, ...]
    pixel_size: tuple[float, float] | None
    licence: str
    source: str
    folder: Path

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def plates(self) -> tuple[str, ...]:
        """Plates by first appearance; `batch/plate` if several batches have that plate name."""
        return tuple(plate_names(self.frame).unique())

    def of_plate(self, plate: str) -> "SampleSheet":
        """Select the rows of one plate, named as in `plates`.

        Raises
        ------
        DataError
            If there is no such plate.
        """
        mask = plate_names(self.frame) == plate
        if not mask.any():
            raise DataError(
                f"The sample sheet has no plate {plate!r}; it has {', '.join(self.plates[:12])}"
                f"{' ...' if len(self.plates) > 12 else ''}."
            )
        return replace(self, frame=self.frame[mask].reset_index(drop=True))


def plate_names(frame: pd.DataFrame) -> pd.Series:
    """Plate of every row: `batch/plate` if several batches have a plate of that name."""
    batches = frame.groupby("plate")["batch"].transform("nunique")
    return frame["plate"].where(batches == 1, frame["batch"] + "/" + frame["plate"])


def normalise_well(text: str) -> str | None:
    """Normalise a well to row letters and two digits (`b2` to `B02`), or return None."""
    match = _WELL.fullmatch(text.strip().upper())
    if match is None or not 1 <= int(match[2]) <= 48:
        return None
    return f"{match[1]}{int(match[2]):02d}"


def _text(frame: pd.DataFrame, column: str, absent: str | None = None) -> pd.Series:
    """A column as stripped text, empty cells missing; all `absent` without the column."""
    if column not in frame:
        return pd.Series([absent] * len(frame), dtype="string")
    values = frame[column].astype("string").str.strip()
    return values.mask(values == "").reset_index(drop=True)


def _made_field_ids(frame: pd.DataFrame) -> pd.Series:
    """Plate, well and site; with a hash of the plate if its name is not path-safe."""
    names = plate_names(frame)
    plates = names.drop_duplicates().dropna()
    shown = plates.str.replace(r"[^A-Za-z0-9_]+", "-", regex=True).str.lstrip("-_")
    alike = shown.duplicated(keep=False) & (shown != plates)
    lost = alike | ~plates.map(str.isascii).astype(bool)
    hashes = plates.map(lambda name: hashlib.sha256(name.encode()).hexdigest()[:8])
    shown = shown.mask(lost, (shown.str.strip("-_") + "-" + hashes).str.lstrip("-"))
    of_plate = dict(zip(plates, shown, strict=True))
    return (
        names.map(of_plate).astype("string")
        + "_"
        + frame["well"]
        + "_s"
        + frame["site"].astype("string")
    )


def normalise_frame(
    frame: pd.DataFrame,
    channels: Sequence[SheetChannel],
    *,
    cell_type: str | None = None,
    perturbation_kind: str = "compound",
    negative_controls: Iterable[str] = (),
    positive_controls: Iterable[str] = (),
) -> pd.DataFrame:
    """Convert a user's table to the columns of a sample sheet, row by row.

    Invalid values become missing; `sheet_faults` reports them. Parameters as in `read_sheet`.

    Returns
    -------
    pandas.DataFrame
        See `SampleSheet.frame`; but `site` is Int64, since it may be missing.
    """
    rows = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    for column in (*REQUIRED_COLUMNS, "gene", "smiles", "moa"):
        rows[column] = _text(frame, column)
    wells = [
        None if empty else normalise_well(w)
        for w, empty in zip(rows["well"], rows["well"].isna(), strict=True)
    ]
    rows["well"] = pd.Series(wells, dtype="string")
    rows["batch"] = _text(frame, "batch", "1")
    site = pd.to_numeric(_text(frame, "site", "1"), errors="coerce").astype("Float64")
    rows["site"] = site.where((site % 1 == 0) & site.between(0, 2**31 - 1)).astype("Int64")
    number = pd.to_numeric(_text(frame, "concentration"), errors="coerce").astype("Float64")
    rows["concentration"] = number.where((number >= 0) & (number < float("inf"))).astype("float64")
    types = _text(frame, "cell_type")
    rows["cell_type"] = types if cell_type is None else types.fillna(cell_type)

    negative = rows["perturbation"].isin(list(negative_controls))
    positive = rows["perturbation"].isin(list(positive_controls))
    control = pd.Series("none", index=rows.index, dtype="string")
    control = control.mask(positive, "positive").mask(negative, "negative")
    rows["control"] = _text(frame, "control").str.lower().fillna(control)
    kind = pd.Series(perturbation_kind, index=rows.index, dtype="string")
    kind = kind.mask(rows["control"].eq("negative").fillna(False), "none")
    rows["perturbation_kind"] = _text(frame, "perturbation_kind").str.lower().fillna(kind)

    made = "field_id" not in frame
    rows["field_id"] = _made_field_ids(rows) if made else _text(frame, "field_id")
    names = [channel.name for channel in channels]
    for channel in channels:
        rows[channel.name] = _text(frame, channel.column)
    corrections = [ILLUMINATION + name for name in names if ILLUMINATION + name in frame]
    for column in corrections:
        rows[column] = _text(frame, column)
    return rows[[*KEY_COLUMNS, *names, *corrections]]


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Cast the columns of a normalised sheet."""
    types = {"site": "int64", "concentration": "float64"}
    return frame.astype({column: types.get(column, "string") for column in frame.columns})


def write_sheet(sheet: SampleSheet, path: str | Path) -> None:
    """Write a sample sheet to Parquet, byte-reproducibly.

    The folder is stored relative to that of `path`, so that both can be moved together.
    """
    path = Path(path)
    types = {"site": pa.int32(), "concentration": pa.float64()}
    schema = pa.schema(
        [pa.field(column, types.get(column, pa.string())) for column in sheet.frame.columns]
    )
    content = {
        "sheet": {
            "channels": [asdict(channel) for channel in sheet.channels],
            "pixel_size": sheet.pixel_size,
            "licence": sheet.licence,
            "source": sheet.source,
            "folder": relative_to(sheet.folder, path.parent),
        }
    }
    table = pa.Table.from_pandas(sheet.frame, schema=schema, preserve_index=False)
    metadata = {_METADATA_KEY: json.dumps(content, ensure_ascii=False).encode()}
    write_parquet(table.replace_schema_metadata(metadata), path)


def load_sheet(path: str | Path) -> SampleSheet:
    """Read a sample sheet from `write_sheet`.

    Raises
    ------
    DataError
        If the file is missing, damaged or not such a sheet.
    """
    path = Path(path)
    table = read_parquet(path)
    metadata = (table.schema.metadata or {}).get(_METADATA_KEY, b"{}")
    content = json.loads(metadata).get("sheet")
    if content is None:
        raise DataError(f"{path} is no sample sheet of morphpipe: read it with read_sheet instead.")
    size = content["pixel_size"]
    return SampleSheet(
        typed(table.replace_schema_metadata(None).to_pandas()),
        tuple(Channel(**channel) for channel in content["channels"]),
        None if size is None else (size[0], size[1]),
        content["licence"],
        content["source"],
        path.parent / content["folder"],
    )
