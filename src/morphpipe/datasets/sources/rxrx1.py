"""RxRx1: its official archive, read in place."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.tables.field_reader import member_name
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable
from morphpipe.tables.manifest import Channel, ChannelManifest
from morphpipe.tables.zip_directory import archive_checksum, members, relative_to

MANIFEST = ChannelManifest(
    channels=(
        Channel("DNA", "Hoechst 33342 (nuclei)"),
        Channel("ER", "concanavalin A (endoplasmic reticulum)"),
        Channel("actin", "phalloidin (actin cytoskeleton)"),
        Channel("RNA", "SYTO 14 (nucleoli and cytoplasmic RNA)"),
        Channel("mito", "MitoTracker (mitochondria)"),
        Channel("Golgi", "wheat germ agglutinin (Golgi and plasma membrane)"),
    ),
    pixel_size=None,
    bit_depth=8,
    licence="CC BY-NC-SA 4.0",
    source="RxRx1, Recursion (Sypetkowski et al. 2023)",
)

# sirna_id of wells without siRNA, and of the 30 positive controls (RxRx1's metadata; 0 to 1107 are
# treatments).
NEGATIVE_CONTROL = 1138
POSITIVE_CONTROLS = range(1108, 1138)

# Height and width of all published fields, in pixels; verified on reading.
SIZE = 512

# Names of planes in the archive.
MEMBERS = "rxrx1/images/{batch}/Plate{plate}/{well}_s{site}_w{channel}.png"

# The published file has 11 MB.
_LARGEST_TABLE = 1 << 28
_COLUMNS = (
    "site_id",
    "cell_type",
    "experiment",
    "plate",
    "well",
    "site",
    "sirna_id",
)


def read_metadata(path: str | Path) -> pd.DataFrame:
    """Read RxRx1's metadata.csv, from the official zip or as a file.

    Raises
    ------
    DataError
        If the table is missing, unreadable or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The metadata {path} do not exist: download them again.")
    data = path.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            tables = [name for name in archive.namelist() if name.endswith("metadata.csv")]
            if len(tables) != 1:
                raise DataError(f"{path} has {len(tables)} files metadata.csv; one is expected.")
            size = archive.getinfo(tables[0]).file_size
            if size > _LARGEST_TABLE:
                raise DataError(f"{path}: metadata.csv has {size} bytes, too many for RxRx1's.")
            with archive.open(tables[0]) as stream:
                data = stream.read(size + 1)
    try:
        table = pd.read_csv(io.BytesIO(data), dtype={"plate": int, "site": int, "sirna_id": int})
    except ValueError as error:  # includes parser and encoding errors and empty cells
        raise DataError(
            f"{path}: metadata.csv cannot be read as RxRx1's table ({error})."
        ) from None
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        raise DataError(f"{path}: metadata.csv lacks the columns {', '.join(missing)}.")
    return table


def _sirna_names(table: pd.DataFrame, metadata: str | Path) -> pd.Series:
    if "sirna" not in table:
        raise DataError(
            f"{metadata} has no column sirna, which identifies siRNAs and genes: download the "
            "official metadata again."
        )
    return table["sirna"].astype("string").fillna("")


def build_fields(
    images: str | Path,
    metadata: str | Path,
    folder: str | Path,
    *,
    dataset: str = "rxrx1",
    cell_types: Sequence[str] | None = None,
    batches: Sequence[str] | None = None,
    perturbations: Sequence[str] | None = None,
    sirnas: Sequence[str] | None = None,
    genes: Mapping[str, str] | None = None,
    quarantine: bool = False,
) -> tuple[FieldTable, pd.DataFrame]:
    """Build the field table of RxRx1 for its archive.

    The archive's directory is read once; planes are decoded only when used.

    Parameters
    ----------
    images
        rxrx1-images.zip, as published.
    metadata
        rxrx1-metadata.zip, or metadata.csv.
    folder
        Folder of the table, to which the archive's path is relative.
    dataset
        The dataset's name in the configuration.
    cell_types, batches, perturbations
        Values to select; None for all. Batches are the metadata's experiments, perturbations
        sirna_ids as strings.
    sirnas
        Names of the siRNAs to select (the metadata's column `sirna`), besides the negative control.
    genes
        Gene of each siRNA by name; others have no gene.
    quarantine
        Whether rows with missing planes go to the quarantine table; otherwise they are errors.

    Returns
    -------
    fields : FieldTable
        One row per site, in the metadata's order.
    quarantine : pandas.DataFrame
        `field_id` and `reason` of excluded rows.

    Raises
    ------
    DataError
        If no row remains, or a plane is missing and `quarantine` is false.
    """
    images, folder = Path(images), Path(folder)
    table = read_metadata(metadata)
    selection = (
        ("cell_type", cell_types),
        ("experiment", batches),
        ("sirna_id", perturbations),
    )
    for column, wanted in selection:
        if wanted is None:
            continue
        present = set(table[column].astype(str))
        unknown = [value for value in wanted if value not in present]
        if unknown:
            raise DataError(
                f"{metadata} has no {column} {unknown[0]!r}; it has "
                f"{', '.join(sorted(present)[:12])}{' ...' if len(present) > 12 else ''}."
            )
        table = table[table[column].astype(str).isin(list(wanted))]
    if sirnas is not None:
        control = table["sirna_id"] == NEGATIVE_CONTROL
        wanted = _sirna_names(table, metadata).isin(list(sirnas))
        if not wanted.any():
            raise DataError(
                f"None of the {len(sirnas)} selected siRNAs is in the column sirna of {metadata}: "
                "download the official metadata again, or select by `perturbations`."
            )
        table = table[control | wanted]
    if table.empty:
        raise DataError(f"No site of {metadata} is left after the selection.")

    directory = {member.name: member for member in members(images)}
    expected_checksum = replace(archive_checksum(images, folder), members=MEMBERS)
    if genes is not None:
        table = table.assign(gene=_sirna_names(table, metadata).map(genes))
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for site in tqdm(table.itertuples(), total=len(table), desc="fields", unit="field"):
        place = {
            "batch": site.experiment, "plate": site.plate, "well": site.well, "site": site.site,
        }  # fmt: skip
        names = [member_name(MEMBERS, place, n) for n in range(len(MANIFEST.channels))]
        absent = [name for name in names if name not in directory]
        if absent:
            reason = f"{absent[0]} is not in {images.name}"
            if not quarantine:
                raise DataError(
                    f"Site {site.site_id} of the metadata has no image: {reason}. Download the "
                    "archive again, or set the dataset's `quality: {unreadable: quarantine}` to "
                    "exclude such sites and list them in the report."
                )
            left_out.append({"field_id": str(site.site_id), "reason": reason})
            continue
        sirna = int(str(site.sirna_id))
        row: dict[str, Any] = dict.fromkeys(FIELD_SCHEMA.names)
        row |= {
            "field_id": str(site.site_id),
            "dataset": dataset,
            "origin": "real",
            "cell_type": site.cell_type,
            "batch": site.experiment,
            "plate": str(site.plate),
            "well": site.well,
            "site": site.site,
            "height": SIZE,
            "width": SIZE,
            "perturbation": str(sirna),
            "perturbation_kind": "none" if sirna == NEGATIVE_CONTROL else "sirna",
            "control": "negative"
            if sirna == NEGATIVE_CONTROL
            else ("positive" if sirna in POSITIVE_CONTROLS else "none"),
            "gene": None if genes is None or pd.isna(site.gene) else str(site.gene),
            "channels": [
                {
                    "file": relative_to(images, folder),
                    "offset": directory[name].offset,
                    "length": directory[name].length,
                    "compression": directory[name].compression,
                }
                for name in names
            ],
        }
        rows.append(row)
    if not rows:
        raise DataError(f"None of the {len(table)} selected sites has all its images in {images}.")
    fields = FieldTable(
        pa.Table.from_pylist(rows, schema=FIELD_SCHEMA),
        MANIFEST,
        folder,
        {expected_checksum.file: expected_checksum},
    )
    return fields, pd.DataFrame(left_out, columns=["field_id", "reason"])
