"""Read and validate a user's sample sheet."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.channel_hints import WARNING
from morphpipe.datasets.sources.sheet import SampleSheet, SheetChannel, normalise_frame, typed
from morphpipe.datasets.sources.sheet_faults import sheet_faults
from morphpipe.tables.manifest import Channel
from morphpipe.tables.user_tables import read_user_table


def read_sheet(
    path: str | Path,
    channels: Sequence[SheetChannel],
    *,
    cell_type: str | None = None,
    perturbation_kind: str = "compound",
    negative_controls: Sequence[str] = (),
    positive_controls: Sequence[str] = (),
    pixel_size: tuple[float, float] | None = None,
    licence: str,
    source: str,
) -> SampleSheet:
    """Read a user's sample sheet.

    Required columns: plate, well, perturbation and one per channel. By default `site` is 1, `batch`
    is "1", `field_id` is made of plate, well and site, and control and kind follow from the
    parameters.

    Parameters
    ----------
    path
        CSV (`.csv`, `.csv.gz`, UTF-8) or Parquet; locations in it are relative to its folder.
    channels
        In the output order.
    cell_type
        Default cell type.
    perturbation_kind
        Default kind, except for negative controls, whose kind is then "none".
    negative_controls, positive_controls
        Perturbations that are controls, besides those in the column `control`.
    pixel_size
        Micrometres per pixel (y, x), or None if unknown.
    licence, source
        Licence and source of the images.

    Raises
    ------
    DataError
        With all faults at once, see `morphpipe.datasets.sources.sheet_faults.sheet_faults`.
        Non-fatal entries are issued as a Python warning.
    """
    path = Path(path)
    table = read_user_table(path, "sample sheet")
    settings: dict[str, Any] = {
        "cell_type": cell_type,
        "perturbation_kind": perturbation_kind,
        "negative_controls": negative_controls,
        "positive_controls": positive_controls,
    }
    found = sheet_faults(table, channels, **settings)
    faults = [fault for fault in found if not fault.startswith(WARNING)]
    if faults:
        raise DataError(
            f"The sample sheet {path} cannot be used (rows are counted from 1, below the header):\n"
            + "\n".join(f"- {fault}" for fault in faults)
        )
    for warning in found:
        warnings.warn(f"{path}: {warning.removeprefix(WARNING)}", stacklevel=2)
    return SampleSheet(
        typed(normalise_frame(table, channels, **settings)),
        tuple(Channel(channel.name, channel.stain) for channel in channels),
        pixel_size,
        licence,
        source,
        path.parent,
    )
