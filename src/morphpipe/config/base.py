"""What all parts of the configuration share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Model(BaseModel):
    """A part of the configuration: unknown keys are errors, values cannot change once read."""

    # Validators are made when first used: a job uses few of the models, or none.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64),
]
"""A name that becomes a part of file names: letters, digits, `_`, `.` and `-`."""

ImageMode = Literal["channels", "rgb"]
"""Each channel through the codec, or one RGB image."""

PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
