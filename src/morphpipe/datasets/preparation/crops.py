"""Single-cell crops of whole archives of real or generated fields."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.imaging.crop_orders import CROP_ORDERS, OWN_ORDER
from morphpipe.imaging.nuclei import (
    crop_nuclei,
    in_order,
    nucleus_centres,
    segment_nuclei,
)
from morphpipe.tables.archive import write_archive
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable


def write_crops(
    fields: FieldTable,
    path: str | Path,
    *,
    nuclear: str = "DNA",
    order: str = OWN_ORDER,
    size: int = 96,
    cell_types: Collection[str] | None = None,
) -> int:
    """Crop a square around every nucleus of every field, and write an image archive.

    A crop has the row of its field, with `_c<number>` appended to the id. Crops that would cross
    the border are excluded, as in IMPA's protocol.

    Parameters
    ----------
    fields
        8-bit fields.
    path
        The archive.
    nuclear
        The nuclear channel, for segmentation by Otsu's threshold.
    order
        One of `morphpipe.imaging.crop_orders.CROP_ORDERS`, or `fields` for their own order.
    size
        Height and width of a crop, pixels.
    cell_types
        Fields of other cell types are ignored; None for all.

    Returns
    -------
    int
        Number of crops.

    Raises
    ------
    DataError
        If the fields lack a channel, or no field has a complete crop.
    ConfigError
        If the order is unknown.
    """
    names = fields.manifest.names
    if nuclear not in names:
        raise DataError(
            f"Nuclei are looked for in the channel {nuclear!r}, but the fields have "
            f"{', '.join(names)}: name the nuclear channel."
        )
    if order not in (OWN_ORDER, *CROP_ORDERS):
        raise ConfigError(
            f"Unknown channel order {order!r}; choose from {OWN_ORDER}, {', '.join(CROP_ORDERS)}."
        )
    wanted = names if order == OWN_ORDER else CROP_ORDERS[order]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(
            f"The order {order} has the channel {missing[0]!r}, but the fields have "
            f"{', '.join(names)}."
        )
    channels = tuple(fields.manifest.channels[names.index(name)] for name in wanted)
    rgb = fields.manifest.rgb
    if rgb is None and order != OWN_ORDER:
        # IMPA measures distances on the first three channels.
        rgb = (wanted[0], wanted[1], wanted[2])
    if rgb is not None and not set(rgb) <= set(wanted):
        rgb = None
    manifest = replace(fields.manifest, channels=channels, rgb=rgb, intensity_windows={})
    if cell_types is not None:
        chosen = fields.keys()["cell_type"].isin(list(cell_types)).to_numpy()
        fields = fields.take(chosen.nonzero()[0])
    rows = fields.rows()
    written = 0
    with FieldReader(fields) as reader, write_archive(path, manifest) as archive:
        for number, row in enumerate(tqdm(rows, desc="crops", unit="field", mininterval=5)):
            image = reader.read(number)
            centres = nucleus_centres(segment_nuclei(image[names.index(nuclear)]))
            crops, _ = crop_nuclei(in_order(image, names, wanted), centres, size)
            for index, crop in enumerate(crops):
                kept = {key: row[key] for key in FIELD_SCHEMA.names if key != "channels"}
                archive.add(kept | {"field_id": f"{row['field_id']}_c{index:03d}"}, crop)
            written += len(crops)
        if rows and not written:
            raise DataError(
                f"None of the {len(rows)} fields in {fields.folder} has a nucleus whose "
                f"{size}x{size} crop lies inside the field: choose a smaller crop, or another "
                "channel."
            )
    return written
