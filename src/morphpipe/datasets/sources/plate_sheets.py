"""One plate's sample sheet as configured, whichever source it is of."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.config.datasets import BBBC021Dataset, SheetDataset
from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.preparation.quality import QUARANTINE_COLUMNS
from morphpipe.datasets.sources.bbbc021 import (
    COMPOUNDS_14,
    COMPOUNDS_98,
    NEGATIVE_CONTROL,
    bbbc021_sheet,
    compounds_on_plate,
)
from morphpipe.datasets.sources.sheet import SampleSheet, SheetChannel, write_sheet
from morphpipe.datasets.sources.user_sheet import read_sheet


def bbbc021_plate(
    settings: BBBC021Dataset,
    plate: str,
    archive: str | Path,
    tables: Sequence[str | Path],
    folder: str | Path,
) -> tuple[SampleSheet, pd.DataFrame]:
    """The fields of a plate of BBBC021, and those whose images are not in its archive.

    Parameters
    ----------
    settings
        The dataset in the configuration.
    plate
        For instance `Week1_22123`.
    archive
        Its zip, as published.
    tables
        The image table, that of mechanisms and, where configured, that of compounds.
    folder
        Where the sheet will be written.
    """
    image, moa, *compound = tables
    lists: dict[str, Collection[str]] = {"14": COMPOUNDS_14, "98": COMPOUNDS_98}
    chosen: list[str] | None = None
    if settings.compounds != "all":
        chosen = [*lists[settings.compounds], NEGATIVE_CONTROL]
    if settings.perturbations is not None:
        chosen = list(settings.perturbations)
    if chosen is not None:
        # No plate holds all compounds; one that holds none of the chosen is a mistake.
        chosen = sorted(set(chosen) & compounds_on_plate(image, plate))
        if not chosen:
            raise DataError(
                f"Plate {plate} of BBBC021 holds none of the chosen compounds: leave it out of "
                "the dataset's `plates`."
            )
    return bbbc021_sheet(
        image,
        moa,
        compound[0] if compound else None,
        {plate: Path(archive)},
        folder,
        compounds=chosen,
    )


def own_plate(settings: SheetDataset, plate: str) -> tuple[SampleSheet, pd.DataFrame]:
    """The rows of one plate of a user's sheet; nothing is missing that the sheet does not name."""
    sheet = read_sheet(
        settings.sheet,
        sheet_channels(settings),
        cell_type=settings.cell_type,
        perturbation_kind=settings.perturbation_kind,
        negative_controls=settings.negative_controls,
        positive_controls=settings.positive_controls,
        pixel_size=settings.pixel_size,
        licence=settings.licence,
        source=f"own plates, {Path(settings.sheet).name}",
    )
    chosen = select_perturbations(sheet.of_plate(plate), settings.perturbations, plate)
    return chosen, pd.DataFrame(columns=QUARANTINE_COLUMNS)


def sheet_channels(settings: SheetDataset) -> tuple[SheetChannel, ...]:
    """The channels of a configured sheet, in order."""
    return tuple(
        SheetChannel(channel.name, channel.stain, channel.column or channel.name)
        for channel in settings.channels
    )


def select_perturbations(
    sheet: SampleSheet, perturbations: Sequence[str] | None, plate: str
) -> SampleSheet:
    """The rows of these perturbations; all where none are given.

    Raises
    ------
    DataError
        When the plate holds none of them.
    """
    if perturbations is None:
        return sheet
    rows = sheet.frame["perturbation"].isin(list(perturbations))
    if not rows.any():
        raise DataError(
            f"Plate {plate} holds none of the chosen perturbations: leave it out of the dataset's "
            "`plates`."
        )
    return replace(sheet, frame=sheet.frame[rows].reset_index(drop=True))


def write_plate(
    sheet: SampleSheet, missing: pd.DataFrame, path: str | Path, missing_path: str | Path
) -> None:
    """Write a plate's sheet, and the table of fields that have no images."""
    write_sheet(sheet, path)
    table = missing.reindex(columns=QUARANTINE_COLUMNS).astype("string")
    write_parquet(pa.Table.from_pandas(table, preserve_index=False), missing_path)
