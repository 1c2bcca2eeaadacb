"""What a job reads, recorded in what it writes: name, software, and identities of the inputs."""

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
# Numbers may change with these.
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
    """How a file came about.

    Attributes
    ----------
    name
        Of the file when it was written.
    software
        Versions by library.
    inputs
        Identity of every file that it was made from, directly or not, by absolute path.
    """

    name: str
    software: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


# What the job of this process reads, by absolute path: set by `job.read_from`.
_inputs: dict[str, str] = {}


def set_inputs(inputs: Mapping[str, str]) -> None:
    """Set what everything that this process writes from now on is made from."""
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
        except PackageNotFoundError:  # CellProfiler has an environment of its own
            continue


def lineage_of(path: str | Path) -> dict[str, Any]:
    """The lineage of a file that this process is about to write, as plain values.

    Paths are relative to the file's folder, so that a folder of results can be moved as a whole,
    and sorted by folder, since there may be hundreds.
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
    """Read the lineage that is recorded in the file at a path; none where there is none.

    Parameters
    ----------
    content
        What `lineage_of` gave when the file was written.
    path
        Where the file is now.
    """
    if content is None:
        return None
    folder = os.path.dirname(os.path.abspath(path))
    inputs: dict[str, str] = {}
    for parent, files in content["from"].items():
        place = os.path.normpath(os.path.join(folder, parent))
        inputs |= {os.path.join(place, name): identity for name, identity in files.items()}
    return Lineage(content["name"], content["software"], inputs)
