"""Adapters to run CellProfiler with newer libraries and without Java.

CellProfiler 4.2.8 requires scikit-image 0.18.3, which has no wheels for Python 3.11, and Java,
wxPython and a MySQL client, which only its windows, image readers and database export use.
`install` must be called before CellProfiler is imported; nothing of CellProfiler or scikit-image is
changed on disk.
"""

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

# CellProfiler imports these on loading, but calls them only for image files, windows and databases;
# the first of each tuple is the package, the rest its submodules.
_NOT_NEEDED = (
    ("javabridge", "javabridge.jutil", "javabridge.locate"),
    ("bioformats", "bioformats.formatreader", "bioformats.formatwriter", "bioformats.omexml"),
    ("prokaryote",),
    ("MySQLdb", "MySQLdb.cursors"),
)
_installed = False


def install() -> None:
    """Make CellProfiler importable and ready to run in process, without windows.

    - Functions of `skimage.morphology` accept `footprint` under its old name `selem` as well:
      scikit-image 0.19 renamed it, 0.20 dropped the old name, and CellProfiler uses it
      (MeasureGranularity, EnhanceOrSuppressFeatures, IdentifyPrimaryObjects, FindMaxima).
    - `multichannel` and `indices=False` (of `peak_local_max`), also dropped in 0.20, are translated
      (Smooth, ReduceNoise, EnhanceOrSuppressFeatures, FindMaxima).
    - `skimage.morphology.reconstruction` computes in float64, as it did in 0.18. Since 0.19 it
      keeps float32, and MeasureGranularity, which sums over its result, drifts by up to 9e-5.
    - If not installed, `javabridge`, `bioformats`, `prokaryote` (all for Java) and `MySQLdb` are
      replaced by stand-ins that can be imported and name the missing package when called.
    - `mahotas.features.haralick` is replaced by the faster `morphpipe.morphology.haralick`.
    - MeasureColocalization caches Costes's thresholds of an image pair, which it would otherwise
      recompute for every kind of object.
    - CellProfiler is run headless. Safe to call more than once.
    """
    global _installed
    if _installed:
        return
    from morphpipe.morphology import haralick

    _adapt_scikit_image()
    haralick.install()
    for names in _NOT_NEEDED:
        if names[0] not in sys.modules and importlib.util.find_spec(names[0]) is None:
            _stand_in(names)
    # CellProfiler imports matplotlib, which looks for a display.
    os.environ.setdefault("MPLBACKEND", "agg")
    from cellprofiler_core.preferences import (  # type: ignore[import-not-found]
        set_headless,
    )

    set_headless()
    _keep_thresholds()
    _installed = True


def _adapt_scikit_image() -> None:
    import skimage.feature
    import skimage.filters
    import skimage.morphology
    import skimage.restoration

    skimage.feature.peak_local_max = with_indices(skimage.feature.peak_local_max)
    skimage.filters.gaussian = with_multichannel(skimage.filters.gaussian)
    for name in ("denoise_bilateral", "denoise_nl_means"):
        adapted = with_multichannel(getattr(skimage.restoration, name))
        setattr(skimage.restoration, name, adapted)
    for name, function in vars(skimage.morphology).copy().items():
        if inspect.isfunction(function) and "footprint" in inspect.signature(function).parameters:
            setattr(skimage.morphology, name, with_selem(function))
    skimage.morphology.reconstruction = in_float64(skimage.morphology.reconstruction)


def with_selem(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function of scikit-image to accept `footprint` as `selem`."""

    @functools.wraps(function)
    def adapted(*arguments: Any, **named: Any) -> Any:
        if "selem" in named:
            named["footprint"] = named.pop("selem")
        return function(*arguments, **named)

    return adapted


def with_multichannel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function of scikit-image to accept `multichannel` for `channel_axis`."""

    @functools.wraps(function)
    def adapted(*arguments: Any, **named: Any) -> Any:
        if "multichannel" in named:
            named["channel_axis"] = -1 if named.pop("multichannel") else None
        return function(*arguments, **named)

    return adapted


def with_indices(peak_local_max: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `skimage.feature.peak_local_max` to optionally return a mask."""

    @functools.wraps(peak_local_max)
    def adapted(image: Any, *arguments: Any, indices: bool = True, **named: Any) -> Any:
        peaks = peak_local_max(image, *arguments, **named)
        if indices:
            return peaks
        mask = np.zeros(np.shape(image), bool)
        mask[tuple(peaks.T)] = True
        return mask

    return adapted


def in_float64(reconstruction: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `skimage.morphology.reconstruction` to compute in float64."""

    @functools.wraps(reconstruction)
    def adapted(seed: Any, mask: Any, *arguments: Any, **named: Any) -> Any:
        return reconstruction(
            np.asarray(seed, np.float64), np.asarray(mask, np.float64), *arguments, **named
        )

    return adapted


def _keep_thresholds() -> None:
    from cellprofiler.modules.measurecolocalization import (  # type: ignore[import-not-found]
        MeasureColocalization,
    )

    for name in ("bisection_costes", "linear_costes"):
        setattr(MeasureColocalization, name, of_last_pair(getattr(MeasureColocalization, name)))


def of_last_pair(thresholds: Callable[..., Any]) -> Callable[..., Any]:
    """Cache Costes's thresholds of the last pair of images and settings."""
    last: tuple[Any, ...] | None = None
    found: Any = None

    @functools.wraps(thresholds)
    def adapted(module: Any, first: Any, second: Any, scale: Any = 255) -> Any:
        nonlocal last, found
        settings = (module.fast_costes.value, scale)
        if (
            last is None
            or last[0] != settings
            or not np.array_equal(last[1], first)
            or not np.array_equal(last[2], second)
        ):
            found = thresholds(module, first, second, scale)
            last = (settings, first.copy(), second.copy())
        return found

    return adapted


class StandIn(ModuleType):
    """An importable module whose functions raise that it is not installed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            # A class, such as a Java exception, which may follow `except`.
            return type(name, (Exception,), {})

        def missing(*arguments: Any, **named: Any) -> Any:
            raise RuntimeError(
                f"{self.__name__}.{name} was called, but {self.__name__.partition('.')[0]} is not "
                "installed: this environment measures given images, and neither loads images nor "
                "writes to databases."
            )

        return missing


def _stand_in(names: tuple[str, ...]) -> None:
    for name in names:
        module = StandIn(name)
        # A path makes a module a package.
        module.__path__ = []
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
