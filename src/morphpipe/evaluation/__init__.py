"""Distances, treatment effects and probes on feature arrays, with floors and intervals."""

from importlib import import_module
from typing import Any

_HOMES = {
    "cate": "effects.cate",
    "frechet_distance": "distances.frechet",
    "kernel_distance": "distances.kernel",
}


def __getattr__(name: str) -> Any:
    """Import the functions meant for interactive use on first access."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
