"""Read CellProfiler pipelines without a window, and determine their inputs and modules."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphpipe.core.errors import DataError
from morphpipe.morphology import adapters

adapters.install()

import cellprofiler_core.modules  # type: ignore[import-not-found] # noqa: E402, F401
from cellprofiler_core.constants.measurement import (  # type: ignore[import-not-found] # noqa: E402
    COLTYPE_FLOAT,
    COLTYPE_INTEGER,
    EXPERIMENT,
    IMAGE,
)
from cellprofiler_core.pipeline import Pipeline  # type: ignore[import-not-found] # noqa: E402
from cellprofiler_core.setting.subscriber import (  # type: ignore[import-not-found] # noqa: E402
    ImageListSubscriber,
    ImageSubscriber,
)
from cellprofiler_core.setting.text import ImageName  # type: ignore[import-not-found] # noqa: E402

# Modules that find and load images, which fields replace, ...
INPUT_MODULES = frozenset(
    {"Images", "Metadata", "NamesAndTypes", "Groups", "LoadData", "LoadImages", "LoadSingleImage"}
)
# ... and modules that write files, which tables replace.
OUTPUT_MODULES = frozenset(
    {
        "CreateBatchFiles",
        "ExportToACC",
        "ExportToCellH5",
        "ExportToDatabase",
        "ExportToSpreadsheet",
        "SaveCroppedObjects",
        "SaveImages",
    }
)
_HEADER = "CellProfiler Pipeline: http://www.cellprofiler.org"
# Value of an empty optional image subscriber.
_NO_IMAGE = frozenset({"", "None", "Leave blank", "Do not use"})
# Settings of NamesAndTypes that divide pixels by the maximum of their type.
_FULL_SCALE = frozenset({"Image metadata", "Image bit-depth", "Yes"})
# Measurements of files, not of pixels.
_NOT_MEASURED = (
    "ChannelType_",
    "ExecutionTime_",
    "FileName_",
    "Frame_",
    "Group_",
    "Height_",
    "ImageNumber",
    "ImageSet_",
    "MD5Digest_",
    "Metadata_",
    "ModuleError_",
    "ObjectNumber",
    "PathName_",
    "ProcessingStatus",
    "Scaling_",
    "Series_",
    "URL_",
    "Width_",
)


def is_measurement(feature: str) -> bool:
    """Whether a feature measures pixels, not files, processing or names."""
    return not feature.startswith(_NOT_MEASURED)


class FieldPipeline(Pipeline):
    """A pipeline with given images: modules that find, load or write files are not run.

    They stay in the pipeline, where other modules look up the origin of images.
    """

    @staticmethod
    def run_module(module: Any, workspace: Any) -> None:
        """Run one module, unless it is an input or output module."""
        if is_run(module):
            module.run(workspace)


def is_run(module: Any) -> bool:
    """Whether a module is run: it is enabled and not an input or output module."""
    return module.enabled and module.module_name not in INPUT_MODULES | OUTPUT_MODULES


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline with its inputs and measurements.

    Attributes
    ----------
    path
        Path of the file.
    pipeline
        The pipeline with all modules.
    modules
        The modules that are run, in order.
    images
        Names of the required images, in order of first use.
    features
        Measurements of the modules by object name (including `Image`), in the order of the modules.
    aggregates
        Whether a module works on all images together, as CorrectIlluminationCalculate can.
    """

    path: Path
    pipeline: FieldPipeline
    modules: tuple[Any, ...]
    images: tuple[str, ...]
    features: dict[str, tuple[str, ...]]
    aggregates: bool

    @property
    def compartments(self) -> dict[str, tuple[str, ...]]:
        """Measurements by object name, without those of whole images."""
        return {name: names for name, names in self.features.items() if name != IMAGE}


def load_pipeline(path: Path) -> LoadedPipeline:
    """Read a `.cppipe` file.

    A pipeline file is code: CellProfiler evaluates its module attributes as Python expressions.
    Read only files that you trust.

    Raises
    ------
    DataError
        If the file is missing, truncated or not a pipeline, has unknown modules or settings, or
        needs something that fields cannot provide: colour images, masks or objects as input, custom
        intensity scales, volumes, groups.
    """
    pipeline = _read(path)
    if pipeline.volumetric():
        raise DataError(f"{path} processes volumes, but fields are planes: disable 3D in it.")
    modules = tuple(module for module in pipeline.modules() if is_run(module))
    if not modules:
        raise DataError(f"{path} has no module that measures anything: add some and save it again.")
    aggregates = any(module.is_aggregation_module() for module in modules)
    images = _images(pipeline, modules, path)
    for module in pipeline.modules():
        if aggregates and module.module_name == "Groups" and module.wants_groups.value:
            raise DataError(
                f"{path} groups images and has a module that works on groups. Disable grouping in "
                "Groups, and measure the fields of each group separately."
            )
    return LoadedPipeline(path, pipeline, modules, images, _features(pipeline, modules), aggregates)


def _read(path: Path) -> FieldPipeline:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise DataError(f"The pipeline {path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a text of CellProfiler ({error}).") from None
    if not text.startswith(_HEADER):
        raise DataError(
            f"{path} is not a CellProfiler pipeline: a .cppipe file starts with {_HEADER!r}. From "
            "a project (.cpproj), export the pipeline."
        )
    pipeline = FieldPipeline()
    try:
        with open(path, encoding="utf-8") as stream:
            pipeline.loadtxt(stream, raise_on_error=True)
    except Exception as error:  # CellProfiler raises any exception on wrong settings
        said = str(error).replace("\n", " ").strip() or type(error).__name__
        raise DataError(
            f"{path} cannot be loaded by this CellProfiler ({said}): it is damaged, was written by "
            "a newer version, or uses a module that is not part of CellProfiler."
        ) from None
    counts = [line for line in text.splitlines() if line.startswith("ModuleCount:")]
    found = len(pipeline.modules(exclude_disabled=False))
    if counts and int(counts[0].split(":")[1]) != found:
        raise DataError(
            f"{path} is truncated: it declares {counts[0].split(':')[1]} modules but has {found}."
        )
    return pipeline


def _images(pipeline: Any, modules: tuple[Any, ...], path: Path) -> tuple[str, ...]:
    wanted: dict[str, None] = {}
    for module in pipeline.modules():
        if module.module_name == "NamesAndTypes":
            wanted |= dict.fromkeys(_loaded(module, path))
    provided: set[str] = set()
    for module in modules:
        for name in _taken(module):
            if name not in provided and name not in _NO_IMAGE:
                wanted[name] = None
        for setting in module.visible_settings():
            if isinstance(setting, ImageName):
                provided.add(setting.value)
    if not wanted:
        raise DataError(f"{path} uses no image: name its images in NamesAndTypes.")
    return tuple(wanted)


def _taken(module: Any) -> Iterator[str]:
    for setting in module.visible_settings():
        if isinstance(setting, ImageListSubscriber):
            yield from setting.value
        elif isinstance(setting, ImageSubscriber):
            yield setting.value


def _loaded(module: Any, path: Path) -> list[str]:
    if module.assignment_method.value == "All images":
        entries = [
            (module.single_image_provider, module.single_load_as_choice, module.single_rescale)
        ]
    else:
        entries = [
            (group.image_name, group.load_as_choice, group.rescale)
            for group in module.assignments + module.single_images
        ]
    for name, kind, scale in entries:
        if kind.value != "Grayscale image":
            raise DataError(
                f"{path} loads {name.value} as {kind.value.lower()!r}: fields are greyscale "
                "images; change it in NamesAndTypes."
            )
        if scale.value not in _FULL_SCALE:
            raise DataError(
                f"{path} scales {name.value} by {scale.value.lower()!r}: fields are scaled by "
                "their bit depth; choose 'Image metadata' or 'Image bit-depth' in NamesAndTypes."
            )
    return [name.value for name, _, _ in entries]


def _features(pipeline: Any, modules: tuple[Any, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {IMAGE: {}}
    for module in modules:
        for name, feature, kind, *_ in module.get_measurement_columns(pipeline):
            if name == EXPERIMENT or kind not in (COLTYPE_FLOAT, COLTYPE_INTEGER):
                continue
            if is_measurement(feature):
                found.setdefault(name, {})[feature] = None
    return {name: tuple(features) for name, features in found.items()}
