"""Preprocess a plate into an image archive: correct, scale, resize, exclude."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.config.preprocessing import Preprocessing, Quality
from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.preparation.planes import PlaneReader
from morphpipe.datasets.preparation.quality import (
    put_aside,
    quality_row,
    quality_table,
    refuse_same_pixels,
)
from morphpipe.datasets.preparation.tables import refuse_empty
from morphpipe.datasets.sources.sheet import ILLUMINATION, KEY_COLUMNS, SampleSheet
from morphpipe.imaging.illumination import (
    MeanImage,
    correct_illumination,
    illumination_function,
)
from morphpipe.imaging.resize import centre_crop, squash, tiles
from morphpipe.imaging.scaling import (
    IntensityHistogram,
    scale_minmax,
    scale_to_window,
    subtract_background,
)
from morphpipe.tables.archive import write_archive
from morphpipe.tables.manifest import ChannelManifest

_Window = tuple[float, float]


def preprocess_plate(
    sheet: SampleSheet,
    dataset: str,
    settings: Preprocessing,
    quality: Quality,
    path: str | Path,
    quality_path: str | Path,
    *,
    rgb: Sequence[str] | None = None,
) -> None:
    """Write the image archive of one plate, and the quality table of all its fields.

    Planes are read in two or three passes with one field in memory: to check and average them, to
    find the plate's percentiles (if taken from corrected planes), and to write them. Excluded
    fields appear in the quality table only.

    Parameters
    ----------
    sheet
        The fields of one plate.
    dataset
        Name in the configuration.
    settings, quality
        As configured.
    path, quality_path
        The archive (8-bit planes) and the table.
    rgb
        Channels shown as red, green and blue.

    Raises
    ------
    DataError
        If a field is unreadable and `quality.unreadable` is `stop`, no field is left, or a channel
        has no signal to scale.
    """
    if len(sheet.plates) != 1:
        raise DataError(f"Preprocess one plate at a time, not {', '.join(sheet.plates)}.")
    _check_channels(sheet, settings, rgb)
    with PlaneReader(sheet.folder) as reader:
        plate = _Plate(sheet, dataset, settings, quality, reader)
        plate.look()
        plate.find_windows()
        plate.write(Path(path), _manifest(plate, rgb))
    write_parquet(quality_table(pd.DataFrame(plate.found)), quality_path)


def _check_channels(sheet: SampleSheet, settings: Preprocessing, rgb: Sequence[str] | None) -> None:
    names = [channel.name for channel in sheet.channels]
    for place, wanted in (
        ("rgb", list(rgb or [])),
        ("preprocessing.windows", list(settings.windows)),
    ):
        for name in wanted:
            if name not in names:
                raise DataError(
                    f"The dataset's `{place}` names the channel {name!r}; its channels are "
                    f"{', '.join(names)}."
                )
    lacking = [name for name in names if name not in settings.windows]
    if settings.scaling == "fixed" and lacking:
        raise DataError(f"The dataset's `preprocessing.windows` has no pair for {lacking[0]!r}.")
    if settings.illumination == "given":
        lacking = [name for name in names if ILLUMINATION + name not in sheet.frame]
        if lacking:
            raise DataError(
                f"illumination is `given`, but the sheet has no column {ILLUMINATION}{lacking[0]}: "
                "choose `plate`, or a project table that lists the functions."
            )


class _Plate:
    def __init__(
        self,
        sheet: SampleSheet,
        dataset: str,
        settings: Preprocessing,
        quality: Quality,
        reader: PlaneReader,
    ) -> None:
        self.sheet, self.dataset, self.settings = sheet, dataset, settings
        self.quality, self.reader = quality, reader
        self.names = tuple(channel.name for channel in sheet.channels)
        self.rows: list[dict[str, Any]] = [
            {str(k): None if pd.isna(v) else v for k, v in row.items()}
            for row in sheet.frame.to_dict("records")
        ]
        self.found: list[dict[str, Any]] = []
        self.kept: list[int] = []
        self.usual = self._usual_kind()
        self.windows: dict[str, _Window] = dict(settings.windows)
        self.written = 0
        self._functions: dict[tuple[str, Any], NDArray[np.float32]] = {}

    # Reading

    def _stack(self, row: dict[str, Any]) -> NDArray[Any]:
        planes = [
            self.reader.read(row[name], f"Field {row['field_id']}, channel {name}")
            for name in self.names
        ]
        first = planes[0]
        for name, plane in zip(self.names, planes, strict=True):
            if plane.shape != first.shape or plane.dtype != first.dtype:
                raise DataError(
                    f"Field {row['field_id']}: channel {name} is {plane.dtype} "
                    f"{plane.shape[0]}x{plane.shape[1]}, channel {self.names[0]} is {first.dtype} "
                    f"{first.shape[0]}x{first.shape[1]}."
                )
        height, width, kind = self.usual
        if (*first.shape, first.dtype) != self.usual:
            raise DataError(
                f"Field {row['field_id']} is {first.dtype} {first.shape[0]}x{first.shape[1]}, most "
                f"of its plate are {kind} {height}x{width}."
            )
        return np.stack(planes)

    def _usual_kind(self) -> tuple[int, int, np.dtype[Any]]:
        """Most common height, width and type, from the headers of first channels."""
        kinds: Counter[tuple[int, int, np.dtype[Any]]] = Counter()
        for row in self.rows:
            # Unreadable fields are rejected or quarantined in the first pass.
            with suppress(DataError):
                kinds[self.reader.shape(row[self.names[0]], f"Field {row['field_id']}")] += 1
        return kinds.most_common(1)[0][0] if kinds else (0, 0, np.dtype(np.uint8))

    def _kept_fields(self, what: str) -> Iterator[tuple[int, dict[str, Any], NDArray[Any]]]:
        for number in tqdm(self.kept, desc=what, unit="field", mininterval=5):
            yield number, self.rows[number], self._stack(self.rows[number])

    # First pass

    def look(self) -> None:
        """Measure every field, select those to keep, and average them."""
        means: dict[tuple[str, Any], MeanImage] = {}
        estimated = self.settings.illumination in ("plate", "plate-site")
        for number, row in enumerate(tqdm(self.rows, desc="look", unit="field", mininterval=5)):
            try:
                stack = self._stack(row)
                refuse_same_pixels(row["field_id"], stack, self.names)
            except DataError as error:
                self.found.append(put_aside(row, error, self.quality))
                continue
            self.found.append(quality_row(row, stack, self.names, self.quality))
            if self.found[-1]["reason"] is not None:
                continue
            self.kept.append(number)
            if estimated:
                for name, plane in zip(self.names, stack, strict=True):
                    means.setdefault(self._function_key(name, row), MeanImage()).add(
                        self._without_background(plane)
                    )
        for key, mean in means.items():
            self._functions[key] = illumination_function(
                mean.mean(),
                sigma=self.settings.sigma,
                floor_quantile=self.settings.floor,
                method=self.settings.smoothing,
            )

    def _function_key(self, channel: str, row: dict[str, Any]) -> tuple[str, Any]:
        return channel, row["site"] if self.settings.illumination == "plate-site" else None

    def _given_function(self, channel: str, row: dict[str, Any]) -> NDArray[np.float32]:
        location = row[ILLUMINATION + channel]
        key = (channel, location)
        if key not in self._functions:
            place = f"Illumination function of channel {channel}"
            self._functions[key] = self.reader.read_array(location, place)
        return self._functions[key]

    # Planes

    def _without_background(self, plane: NDArray[Any]) -> NDArray[Any]:
        percentile = self.settings.background
        return plane if percentile is None else subtract_background(plane, percentile)

    def _corrected(self, channel: str, row: dict[str, Any], plane: NDArray[Any]) -> NDArray[Any]:
        if self.settings.illumination == "none":
            return plane
        if self.settings.illumination == "given":
            return correct_illumination(plane, self._given_function(channel, row))
        return correct_illumination(plane, self._functions[self._function_key(channel, row)])

    # Second pass

    def find_windows(self) -> None:
        if self.settings.scaling != "percentiles" or self.settings.scale_over != "plate":
            return
        histograms = {name: IntensityHistogram() for name in self.names}
        for _, row, stack in self._kept_fields("percentiles"):
            for name, plane in zip(self.names, stack, strict=True):
                histograms[name].add(self._corrected(name, row, self._without_background(plane)))
        if self.kept:
            low, high = self.settings.percentiles
            self.windows = {
                name: (histogram.percentile(low), histogram.percentile(high))
                for name, histogram in histograms.items()
            }

    # Third pass

    def _scaled(self, channel: str, row: dict[str, Any], plane: NDArray[Any]) -> NDArray[np.uint8]:
        plane = self._without_background(plane)
        if self.settings.order == "scaling-first":
            corrected = self._corrected(channel, row, scale_minmax(plane))
            return np.clip(np.rint(corrected), 0, 255).astype(np.uint8)
        plane = self._corrected(channel, row, plane)
        if self.settings.scaling == "minmax":
            return scale_minmax(plane)
        window = self.windows.get(channel)
        if window is None:
            low, high = np.percentile(plane, self.settings.percentiles)
            window = (float(low), float(high))
        return scale_to_window(plane, window).astype(np.uint8)

    def _image(self, row: dict[str, Any], stack: NDArray[Any]) -> NDArray[np.uint8]:
        planes = []
        for name, plane in zip(self.names, stack, strict=True):
            try:
                planes.append(self._scaled(name, row, plane))
            except DataError as error:
                raise DataError(f"Field {row['field_id']}, channel {name}: {error}") from None
        return np.stack(planes)

    def _pieces(self, image: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """The images of a field (tiles), with the suffix of each id."""
        resize, size = self.settings.resize, self.settings.size
        if resize == "none":
            yield "", image
        elif resize == "centre-crop":
            yield "", centre_crop(image, size)
        elif resize == "squash":
            yield "", squash(image, size)
        else:
            for line, column, tile in tiles(image, size):
                yield f"_r{line}c{column}", tile

    def write(self, path: Path, manifest: ChannelManifest) -> None:
        least = self.quality.min_maximum
        with write_archive(path, manifest) as archive:
            for number, row, stack in self._kept_fields("write"):
                try:
                    image = self._image(row, stack)
                except DataError as error:
                    self.found[number] |= put_aside(row, error, self.quality)
                    continue
                if least is not None and int(image.max()) < least:
                    self.found[number]["reason"] = (
                        f"its maximum after scaling is {int(image.max())} (limit {least})"
                    )
                    continue
                for suffix, piece in self._pieces(image):
                    archive.add(
                        {key: row[key] for key in KEY_COLUMNS}
                        | {
                            "field_id": f"{row['field_id']}{suffix}",
                            "dataset": self.dataset,
                            "origin": "real",
                        },
                        piece,
                    )
                    self.written += 1
            # Inside the block, so that an empty archive is never created.
            refuse_empty(self.written, pd.DataFrame(self.found))


def _manifest(plate: _Plate, rgb: Sequence[str] | None) -> ChannelManifest:
    settings, sheet = plate.settings, plate.sheet
    pixel_size = sheet.pixel_size
    if pixel_size is not None and settings.resize == "squash" and plate.kept:
        height, width, _ = plate.usual
        pixel_size = (
            pixel_size[0] * height / settings.size,
            pixel_size[1] * width / settings.size,
        )
    windows = tuple(plate.windows[name] for name in plate.names if name in plate.windows)
    manifest = ChannelManifest(
        channels=sheet.channels,
        pixel_size=pixel_size,
        bit_depth=8,
        licence=sheet.licence,
        source=sheet.source,
        preprocessing=settings.model_dump(mode="json"),
        intensity_windows={sheet.plates[0]: windows} if windows else {},
    )
    return manifest if rgb is None else replace(manifest, rgb=(rgb[0], rgb[1], rgb[2]))
