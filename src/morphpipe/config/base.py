"""Base model and common types of the configuration."""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class Model(BaseModel):
    """Base model of the configuration: frozen, and unknown keys are errors."""

    # Build validators on first use: a job uses few of the models, or none.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64),
]
"""A name that is used in file names: letters, digits, `_`, `.` and `-`."""


def _local_path(text: str) -> str:
    """Validate and normalise a path; `~` is expanded."""
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(f"there is no home folder {path.split('/')[0]}")
    if "{" in path or "}" in path:
        raise ValueError(f"{text!r} contains a brace, which Snakemake reads as a wildcard")
    if not path.isprintable():
        raise ValueError(f"{text!r} contains a non-printable character: use another path")
    return os.path.normpath(path)


LocalPath = Annotated[str, AfterValidator(_local_path)]
"""A local file or folder; `~` is the home folder."""

ImageMode = Literal["channels", "rgb"]
"""Encode each channel separately, or one RGB image."""

PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
