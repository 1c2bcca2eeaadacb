"""Published single-cell crops (IMPA, CellFlux): an index table, and an array for each cell."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources import bbbc021, rxrx1
from morphpipe.datasets.sources.gallery_source import STAINS
from morphpipe.datasets.sources.sheet import normalise_well
from morphpipe.imaging.crop_orders import CROP_ORDERS
from morphpipe.perturbations.names import normalise_compound
from morphpipe.tables.field_reader import is_crop
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable
from morphpipe.tables.manifest import Channel, ChannelManifest
from morphpipe.tables.user_tables import LARGEST
from morphpipe.tables.zip_directory import archive_checksum, members, relative_to

_CONTROLS = {"0": "negative", "control": "negative", "1": "none", "trt": "none"}
_SITE = re.compile(r"(?P<well>[A-Za-z]{1,2}\d{1,2})_s(?P<site>\d+)_.+")


@dataclass(frozen=True)
class Place:
    """What a crop's key says of it.

    Attributes
    ----------
    file
        Its array below the dataset's folder, without a suffix.
    batch, plate, rest
        Batch and plate, and what is behind them in the key.
    """

    file: str
    batch: str
    plate: str
    rest: str


def _in_bbbc021(key: str) -> Place:
    week, plate, rest = key.split("_", 2)
    return Place(f"{week}/{plate}/{rest}", week, f"{week}_{plate}", rest)


def _in_rxrx1(key: str) -> Place:
    first, second, plate, rest = key.split("-", 1)[1].split("_", 3)
    experiment = f"{first}_{second}"
    return Place(f"{experiment}/{plate}/{rest}", experiment, plate, rest)


def _in_cpg0000(key: str) -> Place:
    plate, well, rest = key.split("_", 2)
    return Place(
        f"{plate}/{well}_{rest.split('_')[0]}/{well}_{rest}", plate, plate, f"{well}_{rest}"
    )


@dataclass(frozen=True)
class Layout:
    """How the crops of a dataset are stored.

    Attributes
    ----------
    place
        Where the array of a key is.
    perturbation
        Column of the index with the perturbation's name.
    batch
        Column of the index with the batch.
    kind
        Of the perturbations.
    annotation
        Column of the field table that `ANNOT` stands for, if it is known.
    channels
        In the order of the arrays.
    cell_type
        Of all crops; None where keys begin with it.
    rgb
        Channels shown as red, green and blue.
    """

    place: Callable[[str], Place]
    perturbation: str
    batch: str
    kind: str
    annotation: str | None
    channels: tuple[Channel, ...]
    cell_type: str | None
    rgb: tuple[str, str, str] | None


def _ordered(order: str, stains: dict[str, str]) -> tuple[Channel, ...]:
    return tuple(Channel(name, stains.get(name, name)) for name in CROP_ORDERS[order])


LAYOUTS = {
    "bbbc021": Layout(
        _in_bbbc021, "CPD_NAME", "BATCH", "compound", "moa",
        _ordered("impa-bbbc021", {c.name: c.stain for c in bbbc021.CHANNELS}),
        bbbc021.CELL_TYPE, ("actin", "tubulin", "DNA"),
    ),
    "rxrx1": Layout(
        _in_rxrx1, "CPD_NAME", "BATCH", "sirna", None,
        _ordered("impa-rxrx1", {c.name: c.stain for c in rxrx1.MANIFEST.channels}),
        None, None,
    ),
    "cpg0000": Layout(
        _in_cpg0000, "BROAD_SAMPLE", "PLATE", "compound", None,
        _ordered("impa-cpg0000", STAINS),
        "U2OS", None,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """Where the bytes of an array are."""

    name: str
    location: dict[str, Any]


def read_index(images: Path, index: str | None) -> pd.DataFrame:
    """The table of crops, as text.

    Parameters
    ----------
    images
        Zip archive or folder.
    index
        The table's path inside it; None: its only `.csv` file.

    Raises
    ------
    DataError
        When there is no such table, or there are several and none is named.
    """
    if images.is_dir():
        found = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.csv"))
    else:
        found = [member.name for member in members(images) if member.name.endswith(".csv")]
    chosen = [name for name in found if index in (None, name)]
    if len(chosen) != 1:
        raise DataError(
            f"{images} has {len(found)} tables ({', '.join(found[:5]) or 'no .csv file'}): name "
            "the table of crops with the dataset's `index`."
        )
    try:
        if images.is_dir():
            with open(images / chosen[0], "rb") as stream:
                data = stream.read(LARGEST + 1)
        else:
            with zipfile.ZipFile(images) as archive, archive.open(chosen[0]) as member:
                data = member.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MB")
        return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"The table of crops {chosen[0]} in {images} cannot be read ({error})."
        ) from None


def _stored(images: Path, folder: Path) -> Iterator[Stored]:
    if images.is_dir():
        for path in images.rglob("*.npy"):
            place: dict[str, Any] = dict.fromkeys(("offset", "length", "compression"))
            place["file"] = relative_to(path, folder)
            yield Stored(path.relative_to(images).as_posix(), place)
        return
    file = relative_to(images, folder)
    for member in members(images):
        if member.name.endswith(".npy"):
            place = {"file": file, "offset": member.offset, "length": member.length}
            place["compression"] = member.compression
            yield Stored(member.name, place)


def build_fields(
    images: Path,
    folder: Path,
    *,
    dataset: str,
    layout: Layout,
    index: str | None,
    size: int,
    licence: str,
    cell_type: str | None = None,
    separate_doses: bool = False,
    batches: list[str] | None = None,
    plates: list[str] | None = None,
    perturbations: list[str] | None = None,
    quarantine: bool = False,
) -> tuple[FieldTable, pd.DataFrame]:
    """The field table of published crops; no array is unpacked.

    Parameters
    ----------
    images
        Zip archive or folder.
    folder
        Where the table will be written: files are named relative to it.
    dataset
        Name of the dataset.
    layout
        One of `LAYOUTS`.
    index, size, licence, cell_type, separate_doses, batches, plates, perturbations
        See `morphpipe.config.datasets.CropsDataset`.
    quarantine
        Whether crops without an array are listed; else they stop.

    Returns
    -------
    fields : FieldTable
        One row per crop, in the order of the index.
    quarantine : pandas.DataFrame
        `field_id` and `reason` of the crops left out.

    Raises
    ------
    DataError
        When the index lacks a column, a key or state is not understood, a crop has no array, or
        nothing is left.
    """
    table = read_index(images, index)
    needed = ["SAMPLE_KEY", layout.perturbation, "STATE", layout.batch]
    lacking = [column for column in needed if column not in table]
    if lacking:
        raise DataError(
            f"The index of {images} lacks the columns {', '.join(lacking)}: choose the dataset's "
            "`layout`, or name another `index`."
        )
    # By the file's name and its folder, whatever is above them.
    arrays: dict[str, Stored] = {}
    for found in _stored(images, folder):
        arrays["/".join(found.name.removesuffix(".npy").split("/")[-3:])] = found
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for crop in table.to_dict("records"):
        row, place = _row(crop, images, layout)
        row |= {"dataset": dataset, "height": size, "width": size}
        if cell_type is not None:
            row["cell_type"] = cell_type
        if separate_doses and row["concentration"] is not None:
            row["perturbation"] += f"-{row['concentration']:g}"
        chosen = ((batches, "batch"), (plates, "plate"), (perturbations, "perturbation"))
        if any(wanted is not None and row[column] not in wanted for wanted, column in chosen):
            continue
        array = arrays.get(place.file)
        if array is None or not is_crop(array.name, row["field_id"]):
            reason = f"{place.file}.npy is not in {images.name}"
            if not quarantine:
                raise DataError(
                    f"The crop {row['field_id']} of the index has no array: {reason}. Fetch the "
                    "archive again, or set the dataset's `quality: {unreadable: quarantine}` to "
                    "leave such crops out and have them listed in the report."
                )
            left_out.append({"field_id": row["field_id"], "reason": reason})
            continue
        rows.append(row | {"channels": [array.location] * len(layout.channels)})
    if not rows:
        raise DataError(f"No crop of {images} is left after the selection.")
    manifest = ChannelManifest(
        layout.channels, None, 8, licence, "single-cell crops (Zenodo record 8307629)", layout.rgb
    )
    known = (
        {} if images.is_dir() else {relative_to(images, folder): archive_checksum(images, folder)}
    )
    fields = pa.Table.from_pylist(rows, schema=FIELD_SCHEMA)
    return FieldTable(fields, manifest, folder, known), pd.DataFrame(
        left_out, columns=["field_id", "reason"]
    )


def _row(crop: dict[str, str], images: Path, layout: Layout) -> tuple[dict[str, Any], Place]:
    """The row of a crop without its planes, and what its key says."""
    key = crop["SAMPLE_KEY"]
    try:
        place = layout.place(key)
    except (ValueError, IndexError):
        raise DataError(
            f"The key {key!r} in the index of {images} is not one of the dataset's `layout`: "
            "choose another one."
        ) from None
    state = crop["STATE"].removesuffix(".0").lower()
    if state not in _CONTROLS:
        raise DataError(
            f"The crop {key} in the index of {images} has the STATE {crop['STATE']!r}: expected 0 "
            "or control, 1 or trt."
        )
    site = _SITE.fullmatch(place.rest)
    name = crop[layout.perturbation]
    control = _CONTROLS[state]
    try:
        dose = float(crop.get("DOSE") or "nan")
    except ValueError:
        dose = float("nan")
    row: dict[str, Any] = dict.fromkeys(FIELD_SCHEMA.names)
    return row | {
        "field_id": key,
        "origin": "real",
        "cell_type": layout.cell_type or key.split("-")[0],
        "batch": crop[layout.batch] or place.batch,
        "plate": crop.get("PLATE") or place.plate,
        "well": crop.get("WELL") or (normalise_well(site["well"]) if site else None),
        "site": int(site["site"]) if site else None,
        "perturbation": normalise_compound(name) if layout.kind == "compound" else name,
        "perturbation_kind": "none" if control == "negative" else layout.kind,
        "control": control,
        # Controls stand in the index with a dose of 0.
        "concentration": dose if dose > 0 and control != "negative" else None,
        **({layout.annotation: crop.get("ANNOT") or None} if layout.annotation else {}),
    }, place
