"""Run CellProfiler's modules on one batch of fields, in process."""

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.imaging.rgb import to_rgb
from morphpipe.morphology import adapters
from morphpipe.morphology.measurements import DictMeasurements
from morphpipe.morphology.pipeline import LoadedPipeline, is_measurement
from morphpipe.morphology.tables import FieldMeasurements
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable

adapters.install()

from cellprofiler_core.constants.measurement import (  # type: ignore[import-not-found] # noqa: E402
    EXPERIMENT,
    GROUP_INDEX,
    GROUP_LENGTH,
    GROUP_NUMBER,
    IMAGE,
)
from cellprofiler_core.constants.workspace import (  # type: ignore[import-not-found] # noqa: E402
    DISPOSITION_CANCEL,
    DISPOSITION_SKIP,
)
from cellprofiler_core.image import (  # type: ignore[import-not-found] # noqa: E402
    AbstractImage,
    Image,
    ImageSetList,
)
from cellprofiler_core.object import ObjectSet  # type: ignore[import-not-found] # noqa: E402
from cellprofiler_core.workspace import Workspace  # type: ignore[import-not-found] # noqa: E402


class FieldImages:
    """Images of fields as seen by a pipeline.

    Parameters
    ----------
    fields
        The rows, numbered from 1 like image sets.
    reader
        Reader of these rows.
    inputs
        Channel index (in the manifest, or in red, green and blue) by the pipeline's image name.
    rgb
        Render fields first, see `morphpipe.imaging.rgb.to_rgb`.
    """

    def __init__(
        self, fields: FieldTable, reader: FieldReader, inputs: Mapping[str, int], *, rgb: bool
    ) -> None:
        self.names = tuple(inputs)
        self._manifest = fields.manifest
        self._reader = reader
        self._inputs = inputs
        self._rgb = rgb
        # The value that becomes 1: CellProfiler's intensities are from 0 to 1.
        self._scale = 255 if rgb or fields.manifest.bit_depth == 8 else 65535
        self._last: tuple[int, NDArray[Any]] | None = None

    def planes(self, row: int) -> NDArray[Any]:
        """All planes of a row, [C, H, W]; the last row is cached.

        Raises
        ------
        DataError
            If a plane cannot be read, or contradicts the field table.
        """
        if self._last is None or self._last[0] != row:
            planes = self._reader.read(row)
            if self._rgb:
                planes = np.moveaxis(to_rgb(planes, self._manifest.names, self._manifest.rgb), 2, 0)
            self._last = row, planes
        return self._last[1]

    def image(self, name: str, row: int) -> Any:
        """One plane as a CellProfiler image, scaled to [0, 1] by the type's maximum."""
        plane = np.ascontiguousarray(self.planes(row)[self._inputs[name]])
        return Image(plane, scale=self._scale)


class _FieldImage(AbstractImage):
    """Provides an image lazily for any image set."""

    def __init__(self, name: str, images: FieldImages, rows: Mapping[int, int]) -> None:
        self._name, self._images, self._rows = name, images, rows

    def get_name(self) -> str:
        return self._name

    def provide_image(self, image_set: Any) -> Any:
        return self._images.image(self._name, self._rows[image_set.image_set_number])

    def release_memory(self) -> None:
        """Nothing is kept here."""


@dataclass
class Batch:
    """Result of a batch.

    Attributes
    ----------
    fields
        One entry per field, in order.
    labels
        By field and compartment: int32 [H, W], 0 for background.
    """

    fields: list[FieldMeasurements]
    labels: dict[str, dict[str, NDArray[np.int32]]]


class ModuleError(Exception):
    """A module of a pipeline failed; the message names it."""


def measure_batch(
    loaded: LoadedPipeline,
    images: FieldImages,
    rows: Mapping[int, str],
    keep_labels: frozenset[str] = frozenset(),
    done: Any = None,
) -> Batch:
    """Run a pipeline on fields.

    A field that cannot be read, or in which a module fails, becomes an entry with a reason.

    Parameters
    ----------
    loaded
        The pipeline.
    images
        Images of the fields.
    rows
        The fields' rows and their ids, in order.
    keep_labels
        Ids of fields whose label images are returned.
    done
        Called after every field.

    Raises
    ------
    DataError
        If the preparation of a module that works on all images together fails.
    """
    # Image sets are counted from 1.
    numbers = dict(enumerate(rows, start=1))
    run = _Run(loaded, images, numbers)
    reasons: dict[int, str] = {}
    seconds: dict[int, float] = {}
    labels: dict[str, dict[str, NDArray[np.int32]]] = {}
    if loaded.aggregates:
        # Preparing the group reads every image: unreadable ones must be excluded before.
        for number, row in numbers.items():
            try:
                images.planes(row)
            except DataError as error:
                reasons[number] = str(error)
    run.prepare([number for number in numbers if number not in reasons])
    for number, row in numbers.items():
        start = time.perf_counter()
        if number not in reasons:
            try:
                images.planes(row)
                objects = run.image_set(number)
                if rows[row] in keep_labels:
                    labels[rows[row]] = _labels(objects, loaded)
            except (DataError, ModuleError) as error:
                reasons[number] = " ".join(str(error).split())
        seconds[number] = time.perf_counter() - start
        if done is not None:
            done()
    run.finish()
    measured = []
    for number, row in numbers.items():
        reason = reasons.get(number)
        image, objects = run.results(number) if reason is None else ({}, {})
        entry = FieldMeasurements(rows[row], reason, seconds[number], image, objects)
        measured.append(entry)
    run.close()
    return Batch(measured, labels)


class _Run:
    def __init__(
        self, loaded: LoadedPipeline, images: FieldImages, numbers: Mapping[int, int]
    ) -> None:
        self._loaded = loaded
        self._measurements = DictMeasurements()
        self._image_sets = ImageSetList()
        self._providers = [_FieldImage(name, images, numbers) for name in images.names]
        self._numbers: list[int] = []

    def _workspace(self, objects: Any = None) -> Any:
        m = self._measurements
        return Workspace(self._loaded.pipeline, None, m, objects, m, self._image_sets, None)

    def prepare(self, numbers: Sequence[int]) -> None:
        m = self._measurements
        self._numbers = list(numbers)
        for index, number in enumerate(numbers, start=1):
            for feature, value in (
                (GROUP_NUMBER, 1),
                (GROUP_INDEX, index),
                (GROUP_LENGTH, len(numbers)),
            ):
                m.add_measurement(IMAGE, feature, value, image_set_number=number)
        if not numbers:
            return
        m.next_image_set(numbers[0])
        m.providers.extend(self._providers)
        workspace = self._workspace(ObjectSet())
        for module in self._loaded.modules:
            workspace.set_module(module)
            self._hook(module, "prepare_run", workspace)
            self._hook(module, "prepare_group", workspace, {}, list(numbers))

    def image_set(self, number: int) -> Any:
        """Run the modules on one image set and return its objects.

        Raises
        ------
        ModuleError
            If a module fails or rejects the image set.
        """
        m = self._measurements
        m.clear_cache()
        m.next_image_set(number)
        m.providers.extend(self._providers)
        objects = ObjectSet()
        workspace = self._workspace(objects)
        for module in self._loaded.modules:
            workspace.set_module(module)
            try:
                self._loaded.pipeline.run_module(module, workspace)
            except MemoryError:
                # A fault of the job, not of the field.
                raise
            except Exception as error:
                raise ModuleError(_describe(module, error)) from error
            if workspace.disposition in (DISPOSITION_SKIP, DISPOSITION_CANCEL):
                raise ModuleError(f"{_name(module)} excluded this field.")
        return objects

    def finish(self) -> None:
        self._measurements.clear_cache()
        if not self._numbers:
            return
        workspace = self._workspace(ObjectSet())
        for module in self._loaded.modules:
            workspace.set_module(module)
            self._hook(module, "post_group", workspace, {})

    def results(
        self, number: int
    ) -> tuple[dict[str, float], dict[str, dict[str, NDArray[np.float64]]]]:
        """Measurements of an image set: of the image, and by compartment."""
        m = self._measurements
        image: dict[str, float] = {}
        compartments: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name in m.get_object_names():
            if name == EXPERIMENT:
                continue
            for feature in m.get_feature_names(name):
                if not is_measurement(feature) or not m.has_measurements(name, feature, number):
                    continue
                value = m.get_measurement(name, feature, number)
                if name == IMAGE:
                    if value is not None and np.ndim(value) == 0 and _is_number(value):
                        image[feature] = float(value)
                elif value.dtype.kind in "biuf":
                    compartments.setdefault(name, {})[feature] = value.astype(np.float64)
        for name, features in compartments.items():
            # Without objects some modules write one value; like CellProfiler's exports, rely on the
            # count.
            number = int(image.get(f"Count_{name}", max(map(len, features.values()))))
            compartments[name] = {key: values[:number] for key, values in features.items()}
        return image, compartments

    def close(self) -> None:
        """Free memory: CellProfiler's objects have circular references."""
        self._measurements.hdf5_dict.clear()
        self._measurements.close()

    def _hook(self, module: Any, hook: str, *arguments: Any) -> None:
        try:
            kept = getattr(module, hook)(*arguments)
        except MemoryError:
            raise
        except Exception as error:
            raise DataError(
                f"{self._loaded.path} cannot be run on these fields: {hook} of "
                f"{_describe(module, error)}"
            ) from error
        if kept is False:
            raise DataError(
                f"{self._loaded.path} cannot be run on these fields: {hook} of {_name(module)} "
                "refused."
            )


def _is_number(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "biuf"


def _name(module: Any) -> str:
    return f"{module.module_name} (module {module.module_num})"


def _describe(module: Any, error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/')[2]}, line {frame.lineno}"
    return f"{_name(module)}: {type(error).__name__}: {error} ({place})"


def _labels(objects: Any, loaded: LoadedPipeline) -> dict[str, NDArray[np.int32]]:
    found = {}
    for name in objects.get_object_names():
        if name in loaded.compartments:
            found[name] = np.asarray(objects.get_objects(name).segmented, np.int32)
    return found
