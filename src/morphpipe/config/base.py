"""What all parts of the configuration share."""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class Model(BaseModel):
    """A part of the configuration: unknown keys are errors, values cannot change once read."""

    # Validators are made when first used: a job uses few of the models, or none.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64),
]
"""A name that becomes a part of file names: letters, digits, `_`, `.` and `-`."""


def _local_path(text: str) -> str:
    """Check a path and write it as it is meant: `~` as the home, without a slash at the end."""
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(f"there is no home folder {path.split('/')[0]}")
    if "{" in path or "}" in path:
        raise ValueError(f"{text!r} has a brace, which Snakemake takes for a wildcard")
    if not path.isprintable():
        raise ValueError(f"{text!r} has a character that cannot be seen: name another path")
    return os.path.normpath(path)


LocalPath = Annotated[str, AfterValidator(_local_path)]
"""A file or folder of this machine; `~` stands for the home folder."""

ImageMode = Literal["channels", "rgb"]
"""Each channel through the autoencoder, or one RGB image."""

PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
