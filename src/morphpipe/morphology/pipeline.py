"""CellProfiler pipelines, read without a window: what they ask for and what is run of them."""

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

# Modules that find and load images, which the fields stand for, ...
INPUT_MODULES = frozenset(
    {"Images", "Metadata", "NamesAndTypes", "Groups", "LoadData", "LoadImages", "LoadSingleImage"}
)
# ... and modules that write files, instead of which there are tables.
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
# What an image subscriber holds where it may stay empty.
_NO_IMAGE = frozenset({"", "None", "Leave blank", "Do not use"})
# Settings of NamesAndTypes under which pixels are divided by what their type can hold.
_FULL_SCALE = frozenset({"Image metadata", "Image bit-depth", "Yes"})
# Measurements of files rather than of pixels.
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
    """Whether a feature says something of the pixels, not of files, processing or names."""
    return not feature.startswith(_NOT_MEASURED)


class FieldPipeline(Pipeline):
    """A pipeline whose images are given to it: modules that find, load or write files are not run.

    They stay in the pipeline, since other modules look up in them where an image comes from.
    """

    @staticmethod
    def run_module(module: Any, workspace: Any) -> None:
        """Run one module, unless it is one of input or output."""
        if is_run(module):
            module.run(workspace)


def is_run(module: Any) -> bool:
    """Whether a module of a pipeline is run: it is switched on, and not one of input or output."""
    return module.enabled and module.module_name not in INPUT_MODULES | OUTPUT_MODULES


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline, and what it asks for.

    Attributes
    ----------
    path
        Of the file.
    pipeline
        With all of its modules.
    modules
        Those that are run, in order.
    images
        Names of the images that it has to be given, in the order in which they are met.
    features
        By object name (`Image` among them), the measurements of the modules that are run, in the
        order of the modules.
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
        """Measurements by the name of the objects, without those of whole images."""
        return {name: names for name, names in self.features.items() if name != IMAGE}


def load_pipeline(path: Path) -> LoadedPipeline:
    """Read a `.cppipe` file.

    A pipeline file is code, as a script is: CellProfiler evaluates its module attributes as Python
    expressions. Read only files that you trust.

    Raises
    ------
    DataError
        When the file is missing, is no pipeline, is cut short, names a module that CellProfiler
        does not have or settings that it does not understand; and when the pipeline asks for
        something that fields cannot give: colour images, masks or objects as input, intensities on
        a scale of its own, volumes, groups.
    """
    pipeline = _read(path)
    if pipeline.volumetric():
        raise DataError(f"{path} processes volumes, and fields are planes: switch 3D off in it.")
    modules = tuple(module for module in pipeline.modules() if is_run(module))
    if not modules:
        raise DataError(f"{path} has no module that measures anything: add some and save it again.")
    aggregates = any(module.is_aggregation_module() for module in modules)
    images = _images(pipeline, modules, path)
    for module in pipeline.modules():
        if aggregates and module.module_name == "Groups" and module.wants_groups.value:
            raise DataError(
                f"{path} groups images and has a module that works on groups. Switch grouping off "
                "in Groups, and measure the fields of each group by themselves."
            )
    return LoadedPipeline(path, pipeline, modules, images, _features(pipeline, modules), aggregates)


def _read(path: Path) -> FieldPipeline:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise DataError(f"There is no pipeline {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a text of CellProfiler ({error}).") from None
    if not text.startswith(_HEADER):
        raise DataError(
            f"{path} is no CellProfiler pipeline: a .cppipe file begins with {_HEADER!r}. Of a "
            "project (.cpproj), export the pipeline."
        )
    pipeline = FieldPipeline()
    try:
        with open(path, encoding="utf-8") as stream:
            pipeline.loadtxt(stream, raise_on_error=True)
    except Exception as error:  # CellProfiler raises whatever a wrong setting makes it stumble over
        said = str(error).replace("\n", " ").strip() or type(error).__name__
        raise DataError(
            f"{path} cannot be loaded by this CellProfiler ({said}): it is damaged, was written by "
            "a newer version, or uses a module that is no part of CellProfiler."
        ) from None
    counts = [line for line in text.splitlines() if line.startswith("ModuleCount:")]
    found = len(pipeline.modules(exclude_disabled=False))
    if counts and int(counts[0].split(":")[1]) != found:
        raise DataError(
            f"{path} is cut short: it says that it has {counts[0].split(':')[1]} modules, and has "
            f"{found}."
        )
    return pipeline


def _images(pipeline: Any, modules: tuple[Any, ...], path: Path) -> tuple[str, ...]:
    """The images that have to be given: those that are loaded, and those that modules take."""
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
        raise DataError(f"{path} asks for no image: name its images in NamesAndTypes.")
    return tuple(wanted)


def _taken(module: Any) -> Iterator[str]:
    for setting in module.visible_settings():
        if isinstance(setting, ImageListSubscriber):
            yield from setting.value
        elif isinstance(setting, ImageSubscriber):
            yield setting.value


def _loaded(module: Any, path: Path) -> list[str]:
    """Names that NamesAndTypes gives to images."""
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
                f"{path} loads {name.value} as {kind.value.lower()!r}: fields are given as "
                "greyscale images; change it in NamesAndTypes."
            )
        if scale.value not in _FULL_SCALE:
            raise DataError(
                f"{path} scales {name.value} by {scale.value.lower()!r}: fields are scaled by "
                "their bit depth; choose 'Image metadata' or 'Image bit-depth' in NamesAndTypes."
            )
    return [name.value for name, _, _ in entries]


def _features(pipeline: Any, modules: tuple[Any, ...]) -> dict[str, tuple[str, ...]]:
    """Numbers that the modules say they measure, by the name of the objects."""
    found: dict[str, dict[str, None]] = {IMAGE: {}}
    for module in modules:
        for name, feature, kind, *_ in module.get_measurement_columns(pipeline):
            if name == EXPERIMENT or kind not in (COLTYPE_FLOAT, COLTYPE_INTEGER):
                continue
            if is_measurement(feature):
                found.setdefault(name, {})[feature] = None
    return {name: tuple(features) for name, features in found.items()}
