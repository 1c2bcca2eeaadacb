"""Cell Painting Gallery: files and sample sheet of a plate.

Layout (the gallery's documentation, broadinstitute.github.io/cellpainting-gallery): a project has
`<project>/<institution>/images/<batch>/images/...` with the planes, `.../illum/<plate>/` with
illumination functions, and `<project>/<institution>/workspace/load_data_csv/<batch>/<plate>/` with
a table of both for CellProfiler.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.channel_hints import WARNING
from morphpipe.datasets.sources.sheet import (
    ILLUMINATION,
    SampleSheet,
    SheetChannel,
    normalise_frame,
    normalise_well,
)
from morphpipe.tables.manifest import Channel
from morphpipe.tables.user_tables import read_user_table

_KEYS = {"Metadata_Plate": "plate", "Metadata_Well": "well", "Metadata_Site": "site"}
_IMAGE, _CORRECTION = "Orig", "Illum"


@dataclass(frozen=True)
class GalleryBatch:
    """Location of a batch of plates in the gallery.

    Attributes
    ----------
    project
        For example `cpg0017-rohban-pathways`.
    institution
        The folder below it, for example `broad` or `source_4`.
    batch
        For example `2013_10_11_SIGMA2_Pilot`.
    """

    project: str
    institution: str
    batch: str

    def load_data_key(self, plate: str, name: str = "load_data.csv") -> str:
        """Key of a plate's table in the bucket."""
        folder = f"{self.project}/{self.institution}/workspace/load_data_csv"
        return f"{folder}/{self.batch}/{plate}/{name}"

    def image_key(self, location: str, path_prefix: str | None = None) -> str | None:
        """Translate a table's path on another machine to a key in the bucket.

        The path must contain the name of the project (also in an `s3:` address), or else of the
        batch, whose prefix differs among older projects.

        Parameters
        ----------
        location
            As in the table, with forward slashes.
        path_prefix
            Prefix of the table's paths that stands for `<project>/<institution>/images/` or the
            bucket.

        Returns
        -------
        str or None
            None if the path is not understood or does not start with `path_prefix`.
        """
        images = f"{self.project}/{self.institution}/images/"
        if path_prefix is not None:
            if not location.startswith(path_prefix):
                return None
            rest = location.removeprefix(path_prefix).lstrip("/")
            return rest if rest.startswith(f"{self.project}/") else images + rest
        parts = location.split("/")
        if self.project in parts:
            return "/".join(parts[parts.index(self.project) :])
        if self.batch in parts:
            return images + "/".join(parts[parts.index(self.batch) :])
        return None


@dataclass(frozen=True)
class LoadData:
    """The fields of a plate, and the keys of their files in the bucket.

    Attributes
    ----------
    frame
        `plate`, `well` (`B02`), `site`, and for each channel its key and, if any, that of its
        illumination function as `illumination:<channel>`.
    channels
        In the table's order.
    place
        The table, for messages.
    """

    frame: pd.DataFrame
    channels: tuple[str, ...]
    place: str

    def of_wells(self, wells: Collection[str]) -> "LoadData":
        """Select the fields of some wells.

        Raises
        ------
        DataError
            If the table has none of them.
        """
        chosen = self.frame[self.frame["well"].isin(list(wells))].reset_index(drop=True)
        if chosen.empty:
            raise DataError(f"{self.place} has no field in the {len(wells)} selected wells.")
        return replace(self, frame=chosen)

    def keys(self, channels: Sequence[str]) -> list[str]:
        """List the keys of all files of some channels: by field, then illumination functions.

        Raises
        ------
        DataError
            If the table has no such channel.
        """
        self.require(channels)
        planes = self.frame[list(channels)].to_numpy().ravel().tolist()
        corrections = [ILLUMINATION + name for name in channels]
        for column in (column for column in corrections if column in self.frame):
            planes += self.frame[column].unique().tolist()
        return planes

    def require(self, channels: Sequence[str]) -> None:
        """Raise DataError if the table lacks a channel."""
        for name in channels:
            if name not in self.channels:
                raise DataError(
                    f"{self.place} has no channel {name!r}; it has {', '.join(self.channels)}."
                )


def read_load_data(
    path: str | Path,
    batch: GalleryBatch,
    *,
    channels: Collection[str] | None = None,
    path_prefix: str | None = None,
) -> LoadData:
    """Read `load_data.csv` or `load_data_with_illum.csv` of a plate, or its Parquet version.

    Parameters
    ----------
    path
        The table.
    batch
        Location of the plate, to translate the table's paths to keys.
    channels
        The channels to read; None for all.
    path_prefix
        See `GalleryBatch.image_key`.

    Raises
    ------
    DataError
        If columns or cells are missing, a path is not understood, a field is repeated, or one file
        is used for two channels or fields.
    """
    path = Path(path)
    table = read_user_table(path, "table of planes", text=True)
    missing = [column for column in _KEYS if column not in table]
    images = _channels(table, _IMAGE)
    if missing or not images or table.empty:
        lacks = ", ".join(missing) or ("FileName_Orig<channel>" if not images else "rows")
        raise DataError(f"{path} is not a CellProfiler table of a plate: it lacks {lacks}.")
    wanted = [name for name in images if channels is None or name in channels]
    frame = table[list(_KEYS)].rename(columns=_KEYS)
    frame["well"] = [normalise_well(text) for text in frame["well"]]
    frame["site"] = pd.to_numeric(frame["site"], errors="coerce")
    _refuse(path, frame["well"].isna(), table, "Metadata_Well is not a well")
    _refuse(
        path,
        frame["site"].isna() | (frame["site"] % 1 != 0),
        table,
        "Metadata_Site is not a number",
    )
    frame["site"] = frame["site"].astype("int64")
    _refuse(path, frame.duplicated(), table, "plate, well and site are repeated")
    for kind, prefix in ((_IMAGE, ""), (_CORRECTION, ILLUMINATION)):
        for name in _channels(table, kind):
            if name in wanted:
                frame[prefix + name] = _keys(table, kind + name, path, batch, path_prefix)
    planes = pd.Series(frame[wanted].to_numpy().ravel())
    if planes.duplicated().any():
        raise DataError(
            f"{path} names the file {planes[planes.duplicated()].iloc[0]} for two channels or "
            "fields: its columns are mixed up."
        )
    return LoadData(frame, tuple(images), str(path))


def _channels(table: pd.DataFrame, kind: str) -> list[str]:
    names = [
        column.removeprefix(prefix + kind)
        for column in table
        for prefix in ("FileName_", "URL_")
        if column.startswith(prefix + kind)
    ]
    return list(dict.fromkeys(names))


def _refuse(path: Path, mask: pd.Series, table: pd.DataFrame, what: str) -> None:
    if mask.any():
        row = int(mask.to_numpy().argmax())
        cells = ", ".join(table.loc[row, list(_KEYS)])
        raise DataError(f"{path}, row {row + 1} ({cells}): {what}.")


def _keys(
    table: pd.DataFrame, name: str, path: Path, batch: GalleryBatch, path_prefix: str | None
) -> list[str]:
    columns = [f"PathName_{name}", f"FileName_{name}"]
    if all(column in table for column in columns):
        folders = table[columns[0]].str.replace("\\", "/", regex=False).str.rstrip("/")
        locations = folders + "/" + table[columns[1]]
        empty = (table[columns[0]] == "") | (table[columns[1]] == "")
    elif f"URL_{name}" in table:
        columns = [f"URL_{name}"]
        locations = table[columns[0]]
        empty = locations == ""
    else:
        raise DataError(f"{path} has FileName_{name}, but neither PathName_{name} nor URL_{name}.")
    _refuse(path, empty, table, f"{' or '.join(columns)} is empty")
    found = [batch.image_key(location, path_prefix) for location in locations]
    if None in found:
        seen = locations[found.index(None)]
        raise DataError(
            f"{path} names the file {seen}, whose location in {batch.project} is unknown: set the "
            "dataset's `path_prefix` to the prefix that stands for "
            f"{batch.project}/{batch.institution}/images/."
            if path_prefix is None
            else f"{path} names the file {seen}, which does not start with the dataset's "
            f"`path_prefix` {path_prefix}."
        )
    return [key for key in found if key is not None]


def select_perturbations(annotation: pd.DataFrame, perturbations: Collection[str]) -> pd.DataFrame:
    """Select the wells of some perturbations, and all negative controls.

    Parameters
    ----------
    annotation
        `well`, `perturbation`, `control` and other columns.
    perturbations
        Perturbations to select.

    Raises
    ------
    DataError
        If a perturbation is not in the table.
    """
    present = set(annotation["perturbation"])
    unknown = [name for name in perturbations if name not in present]
    if unknown:
        raise DataError(f"The annotation of the wells has no perturbation {unknown[0]!r}.")
    chosen = annotation["perturbation"].isin(list(perturbations))
    return annotation[chosen | (annotation["control"] == "negative")].reset_index(drop=True)


def gallery_sheet(
    load_data: LoadData,
    archive: str | Path,
    annotation: pd.DataFrame,
    *,
    channels: Sequence[Channel],
    batch: str,
    cell_type: str,
    perturbation_kind: str = "orf",
    pixel_size: tuple[float, float] | None = None,
    licence: str = "CC0 1.0",
    source: str,
) -> SampleSheet:
    """Build the sample sheet of a plate whose files are in one archive, named by keys.

    Parameters
    ----------
    load_data
        The plate's fields.
    archive
        See `morphpipe.datasets.fetch.many_files.fetch_plate`; its folder is the sheet's folder.
    annotation
        One row per well, or per plate and well where it has a column `plate`: `well`,
        `perturbation`, and optionally `control`, `perturbation_kind`, `concentration`, `gene`,
        `smiles`, `moa`.
    channels
        Names as in `load_data`, in the output order.
    batch, cell_type
        Of all fields.
    perturbation_kind
        Default for wells other than negative controls.
    pixel_size
        Micrometres (y, x), or None if unknown.
    licence, source
        Licence and source of the images.

    Raises
    ------
    DataError
        If a well is not annotated or annotated twice, or the sheet would be invalid.
    """
    # Slow to import, and not needed for a dry run.
    from morphpipe.datasets.sources.sheet_faults import sheet_faults

    names = [channel.name for channel in channels]
    load_data.require(names)
    archive = Path(archive)
    table = _annotated(load_data, annotation)
    table["batch"] = batch
    for column in names + [ILLUMINATION + name for name in names]:
        if column in table:
            table[column] = f"{archive.name}!" + table[column]
    columns = [SheetChannel(channel.name, channel.stain, channel.name) for channel in channels]
    found = sheet_faults(table, columns, cell_type=cell_type, perturbation_kind=perturbation_kind)
    faults = [fault for fault in found if not fault.startswith(WARNING)]
    if faults:
        raise DataError(f"{load_data.place} does not give a valid sample sheet: {' '.join(faults)}")
    frame = normalise_frame(
        table, columns, cell_type=cell_type, perturbation_kind=perturbation_kind
    )
    return SampleSheet(
        frame.astype({"site": "int64"}),
        tuple(channels),
        pixel_size,
        licence,
        source,
        archive.parent,
    )


def _annotated(load_data: LoadData, annotation: pd.DataFrame) -> pd.DataFrame:
    keys = ["plate", "well"] if "plate" in annotation else ["well"]
    wells = annotation.copy()
    wells["well"] = [normalise_well(str(text)) for text in annotation["well"]]
    if "plate" in wells:
        wells["plate"] = wells["plate"].astype(str)
    if wells["well"].isna().any():
        text = annotation["well"][wells["well"].isna()].iloc[0]
        raise DataError(f"The annotation of the wells has {text!r}, which is not a well like B02.")
    twice = wells.duplicated(keys)
    if twice.any():
        place = " ".join(wells.loc[twice, keys].iloc[0])
        raise DataError(f"The annotation of the wells has {place} more than once.")
    clash = set(load_data.frame.columns) & set(wells.columns) - set(keys)
    joined = load_data.frame.merge(
        wells.drop(columns=list(clash)), on=keys, how="left", validate="many_to_one", indicator=True
    )
    absent = joined[joined["_merge"] != "both"]
    if not absent.empty:
        places = absent[["plate", "well"]].drop_duplicates().agg(" ".join, axis=1)
        raise DataError(
            f"{len(places)} wells of {load_data.place} are not annotated, the first one "
            f"{places.iloc[0]}: add them to the annotation, or select wells."
        )
    return joined.drop(columns="_merge")
