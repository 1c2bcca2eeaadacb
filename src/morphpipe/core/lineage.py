"""Lineage of files: name, software, and identities of the inputs, stored in every output."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import morphpipe

LINEAGE = "morphpipe.lineage"
# Libraries that may affect numbers.
_LIBRARIES = (
    "cellprofiler",
    "diffusers",
    "numpy",
    "pandas",
    "pyarrow",
    "rdkit",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class Lineage:
    """Provenance of a file.

    Attributes
    ----------
    name
        Name of the file when it was written.
    software
        Versions by library.
    inputs
        Identity of every direct or indirect input, by absolute path.
    """

    name: str
    software: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


# Inputs of this process's job by absolute path, set by `read_from`.
_inputs: dict[str, str] = {}


def set_inputs(inputs: Mapping[str, str]) -> None:
    """Set the inputs of everything that this process writes from now on."""
    _inputs.clear()
    _inputs.update(inputs)


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """Versions of the installed libraries that numbers depend on."""
    return dict(_installed())


def _installed() -> Iterator[tuple[str, str]]:
    yield "morphpipe", morphpipe.__version__
    for name in _LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:  # CellProfiler has a separate environment
            continue


def lineage_of(path: str | Path) -> dict[str, Any]:
    """Build the lineage of a file that this process will write, as plain values.

    Paths are relative to the file's folder, so that results can be moved as a whole, and grouped by
    folder, since there may be hundreds.
    """
    folder = os.path.dirname(os.path.abspath(path))
    made_from: dict[str, dict[str, str]] = {}
    for place, identity in sorted(_inputs.items()):
        parent, name = os.path.split(place)
        made_from.setdefault(parent, {})[name] = identity
    return {
        "name": Path(path).name,
        "software": software(),
        "from": {os.path.relpath(parent, folder): files for parent, files in made_from.items()},
    }


def lineage_metadata(path: str | Path) -> dict[bytes, bytes]:
    """`lineage_of` as metadata of a Parquet file."""
    return {LINEAGE.encode(): json.dumps(lineage_of(path)).encode()}


def parse_lineage(content: Mapping[str, Any] | None, path: str | Path) -> Lineage | None:
    """Parse the output of `lineage_of` for the file that is now at `path`, or return None."""
    if content is None:
        return None
    folder = os.path.dirname(os.path.abspath(path))
    inputs: dict[str, str] = {}
    for parent, files in content["from"].items():
        place = os.path.normpath(os.path.join(folder, parent))
        inputs |= {os.path.join(place, name): identity for name, identity in files.items()}
    return Lineage(content["name"], content["software"], inputs)
