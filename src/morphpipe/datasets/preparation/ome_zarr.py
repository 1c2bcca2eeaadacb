"""Export fields of view as an OME-Zarr plate, for napari and other viewers.

Written by ome-zarr-py as OME-Zarr 0.5 (high-content screening layout: row / column / field).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray
from ome_zarr.scale import Methods  # type: ignore[import-untyped]
from ome_zarr.writer import (  # type: ignore[import-untyped]
    write_image,
    write_plate_metadata,
    write_well_metadata,
)
from tqdm import tqdm

from morphpipe.core.errors import DataError
from morphpipe.core.storage import atomic_path
from morphpipe.imaging.rgb import RXRX1_COLOURS
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import ChannelManifest

# Minimum side of a pyramid level, pixels.
_SMALLEST = 32
_FACTORS = (2, 4)
_WELL = re.compile(r"([A-Z]{1,2})([0-9]{1,2})")


@dataclass(frozen=True)
class _Place:
    """Position of a field on the plate (names of row and column), and its row in the table."""

    row: str
    column: str
    index: int


def export_plate(fields: FieldTable, path: str | Path) -> None:
    """Write the fields of one plate as an OME-Zarr plate.

    Real fields are placed by well (`B02` in row B, column 02) and site. Generated fields have no
    well: each pair of cell type and perturbation has a row, and each sample a column; the plate's
    name says so, and its attributes under `morphpipe` describe the rows. Each image carries its row
    of the field table there as well.

    Fields are written one at a time, in two or three resolutions of one file each, with channels as
    chunks. RxRx1's channels get the colours and ranges of its display table; other channels get the
    same colours in order, and the full range.

    Parameters
    ----------
    fields
        Real fields of one plate, or generated fields.
    path
        The folder to write, usually `.ome.zarr`; it appears when complete.

    Raises
    ------
    DataError
        If there are no fields, several plates, real and generated fields together, fields of
        several sizes, an invalid well name, or an unreadable field.
    """
    rows = fields.rows()
    origins = {row["origin"] for row in rows}
    if len(origins) != 1:
        raise DataError(
            "An OME-Zarr plate holds either real or generated fields, but the table in "
            f"{fields.folder} has {' and '.join(sorted(origins)) or 'none'}: choose one kind."
        )
    sizes = {(row["height"], row["width"]) for row in rows}
    if len(sizes) != 1:
        raise DataError(
            f"The fields in {fields.folder} have several sizes, which viewers cannot show as one "
            "plate: crop them to one."
        )
    generated = origins == {"generated"}
    places = _conditions(rows) if generated else _wells(rows)
    with atomic_path(path) as temporary, FieldReader(fields) as reader:
        plate = zarr.open_group(str(temporary), mode="w", zarr_format=3)
        _describe_plate(plate, places, rows, generated)
        progress = tqdm(total=len(places), desc=Path(path).name, unit="field")
        with progress:
            for well in _by_well(places):
                group = plate.create_group(f"{well[0].row}/{well[0].column}")
                write_well_metadata(group, [str(number) for number in range(len(well))])
                for number, place in enumerate(well):
                    image = group.create_group(str(number))
                    _write_field(
                        image, reader.read(place.index), rows[place.index], fields.manifest
                    )
                    progress.update()


def _wells(rows: list[dict[str, Any]]) -> list[_Place]:
    plates = sorted({(str(row["batch"]), str(row["plate"])) for row in rows})
    if len(plates) != 1:
        names = ", ".join("/".join(plate) for plate in plates[:6])
        raise DataError(
            f"An OME-Zarr plate is a single plate, but the fields are from {len(plates)} "
            f"({names}{' ...' if len(plates) > 6 else ''}): export each separately."
        )
    places = []
    for index, row in enumerate(rows):
        match = _WELL.fullmatch(row["well"] or "")
        if match is None:
            raise DataError(
                f"Field {row['field_id']} has the well {row['well']!r}, not one like B02."
            )
        places.append(_Place(match[1], f"{int(match[2]):02d}", index))
    return sorted(
        places,
        key=lambda place: (
            len(place.row),
            place.row,
            place.column,
            rows[place.index]["site"] or 0,
        ),
    )


def _conditions(rows: list[dict[str, Any]]) -> list[_Place]:
    conditions = sorted({(row["cell_type"], row["perturbation"]) for row in rows})
    # Row names are alphanumeric (OME-Zarr specification).
    names = [re.sub(r"[^A-Za-z0-9]", "", "".join(condition)) for condition in conditions]
    if len(set(names)) != len(names):
        names = [f"{number}{name}" for number, name in enumerate(names, 1)]
    name_of = dict(zip(conditions, names, strict=True))
    seeds = ("experiment", "training_seed", "sampling_seed", "sample_index")
    order = sorted(
        range(len(rows)),
        key=lambda index: (
            name_of[rows[index]["cell_type"], rows[index]["perturbation"]],
            [(rows[index][column] is not None, rows[index][column]) for column in seeds],
        ),
    )
    counts = dict.fromkeys(names, 0)
    places = []
    for index in order:
        name = name_of[rows[index]["cell_type"], rows[index]["perturbation"]]
        counts[name] += 1
        places.append(_Place(name, str(counts[name]), index))
    return places


def _by_well(places: list[_Place]) -> Iterator[list[_Place]]:
    well: list[_Place] = []
    for place in places:
        if well and (place.row, place.column) != (well[0].row, well[0].column):
            yield well
            well = []
        well.append(place)
    yield well


def _describe_plate(
    plate: zarr.Group, places: list[_Place], rows: list[dict[str, Any]], generated: bool
) -> None:
    row_names = list(dict.fromkeys(place.row for place in places))
    columns = sorted({place.column for place in places}, key=int)
    first = rows[places[0].index]
    if generated:
        name = f"{first['dataset']}, generated: a row per cell type and perturbation, no real wells"
        layout: dict[str, Any] = {
            "layout": "conditions",
            "rows": {
                place.row: {key: rows[place.index][key] for key in ("cell_type", "perturbation")}
                for place in places
            },
        }
    else:
        parts = (first["dataset"], first["batch"], first["plate"])
        name = " ".join(str(part) for part in parts if part is not None)
        layout = {"layout": "wells"}
    wells = list(dict.fromkeys(f"{place.row}/{place.column}" for place in places))
    write_plate_metadata(
        plate,
        row_names,
        columns,
        wells,
        name=name,
        field_count=max(len(well) for well in _by_well(places)),
    )
    plate.attrs["morphpipe"] = layout


def _write_field(
    group: zarr.Group, image: NDArray[Any], row: dict[str, Any], manifest: ChannelManifest
) -> None:
    """Write one image, uint8 or uint16 [C, H, W], with its pyramid."""
    channels, height, width = image.shape
    factors = [factor for factor in _FACTORS if min(height, width) // factor >= _SMALLEST]
    shapes = [(height // factor, width // factor) for factor in (1, *factors)]
    pixel_size = manifest.pixel_size
    scale = None if pixel_size is None else {"c": 1.0, "y": pixel_size[0], "x": pixel_size[1]}
    write_image(
        image,
        group,
        scale_factors=factors,
        name=row["field_id"],
        method=Methods.LOCAL_MEAN,
        axes="cyx",
        scale=scale,
        axes_units=None if pixel_size is None else {"y": "micrometer", "x": "micrometer"},
        storage_options=[{"chunks": (1, *shape), "shards": (channels, *shape)} for shape in shapes],
        omero=_display(manifest),
    )
    keys = {key: value for key, value in row.items() if key != "channels" and value is not None}
    group.attrs["morphpipe"] = keys | {"licence": manifest.licence, "source": manifest.source}


def _display(manifest: ChannelManifest) -> dict[str, Any]:
    """Names, colours and display ranges, as OMERO metadata.

    If the data have an RGB rule, its three channels are shown in these colours, the others are
    inactive.
    """
    top = 2**manifest.bit_depth - 1
    colours = ("FF0000", "00FF00", "0000FF")
    rgb = dict(zip(manifest.rgb, colours, strict=True)) if manifest.rgb else {}
    of_rxrx1 = manifest.bit_depth == 8 and manifest.names == tuple(
        colour.channel for colour in RXRX1_COLOURS
    )
    channels = []
    for number, channel in enumerate(manifest.channels):
        shown = RXRX1_COLOURS[number % len(RXRX1_COLOURS)]
        end = shown.upper if of_rxrx1 else top
        channels.append(
            {
                "label": channel.name,
                "color": rgb.get(
                    channel.name, "".join(f"{part:02X}" for part in shown.red_green_blue)
                ),
                "window": {"min": 0, "max": top, "start": 0, "end": end},
                "active": not rgb or channel.name in rgb,
            }
        )
    return {"channels": channels}
