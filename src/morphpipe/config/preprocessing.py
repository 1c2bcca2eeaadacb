"""From raw planes to the 8-bit images that a model sees, and which fields are excluded."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import Model, PositiveInt

Percentile = Annotated[float, Field(ge=0, le=100)]


class Preprocessing(Model):
    """What is done to every raw plane, in this order unless `order` says otherwise."""

    background: Percentile | None = Field(
        None, description="Percentile of each plane that is subtracted from it; none leaves it."
    )
    illumination: Literal["none", "plate", "plate-site", "given"] = Field(
        "none",
        description="What a plane is divided by: nothing; the smoothed mean image of its channel "
        "over the plate, or over the plate's fields of the same site; or the function that comes "
        "with the data (Cell Painting Gallery).",
    )
    smoothing: Literal["gaussian", "median"] = Field(
        "gaussian", description="How the mean image becomes an illumination function."
    )
    sigma: float = Field(500.0, gt=0, description="Width of that smoothing, pixels.")
    floor: float = Field(
        0.02, ge=0, lt=1, description="Quantile of the smoothed image that is its floor, and one."
    )
    scaling: Literal["percentiles", "minmax", "fixed"] = Field(
        "percentiles",
        description="How intensities become 0 to 255: between two percentiles; between the least "
        "and the greatest value of each plane; or between `windows`.",
    )
    percentiles: tuple[Percentile, Percentile] = Field(
        (0.1, 99.9), description="Lower and upper end for `percentiles`."
    )
    scale_over: Literal["plate", "field"] = Field(
        "plate",
        description="Whose percentiles: those of the channel over the plate, which keeps "
        "differences of intensity between its wells, or those of each field.",
    )
    windows: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="Lower and upper end per channel for `fixed`."
    )
    order: Literal["illumination-first", "scaling-first"] = Field(
        "illumination-first",
        description="`scaling-first` divides by the illumination function after the planes have "
        "become 8 bit, as MorphoDiff's released notebook does; it is wrong, and here to reproduce.",
    )
    resize: Literal["none", "centre-crop", "squash", "tiles"] = Field(
        "none",
        description="How a field gets `size`: not; its centre; the whole field squeezed into the "
        "square; or as many squares as fit, each a field of its own.",
    )
    size: PositiveInt = Field(512, description="Height and width after `resize`, pixels.")

    @model_validator(mode="after")
    def _settings(self) -> "Preprocessing":
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(
                f"percentiles are {self.percentiles[0]:g} and {self.percentiles[1]:g}: the first "
                "has to be the lower one"
            )
        for channel, (low, high) in self.windows.items():
            if low >= high:
                raise ValueError(f"windows.{channel} is {low:g} to {high:g}: it has to go upwards")
        if self.scaling == "fixed" and not self.windows:
            raise ValueError("scaling 'fixed' needs `windows`, a pair of intensities per channel")
        if self.order == "scaling-first" and self.scaling != "minmax":
            raise ValueError("order 'scaling-first' goes with scaling 'minmax' only")
        return self


class Quality(Model):
    """When a field is excluded. A limit that is not given is not applied; all are measured."""

    min_focus: float | None = Field(
        None,
        description="Least slope of the power spectrum (log-log) of each plane. RxRx1's five test "
        "fields lie between -0.9 and -2.0; blurred ones lie below.",
    )
    max_saturation: float | None = Field(
        None, ge=0, le=1, description="Greatest share of a plane's pixels at its maximum."
    )
    min_contrast: float | None = Field(
        None, description="Least signal over noise of a plane: an empty field has about none."
    )
    max_debris: float | None = Field(
        None, ge=0, le=1, description="Greatest share of a plane that one bright object covers."
    )
    min_nuclei: PositiveInt | None = Field(None, description="Least number of nuclei in a field.")
    min_maximum: int | None = Field(
        None,
        ge=0,
        le=255,
        description="Least maximum of a field after scaling; MorphoDiff's notebook for Rohban et "
        "al. drops fields below 60.",
    )
    saturated_at: PositiveInt | None = Field(
        None,
        description="Grey value of a saturated raw pixel; none: the plane's own maximum where that "
        "is the highest of 10, 12 or 14 bits (1023, 4095, 16383), else the greatest of the type.",
    )
    nuclear: str = Field("DNA", description="Channel that nuclei are counted in, where there is.")
    unreadable: Literal["stop", "quarantine"] = Field(
        "stop",
        description="What happens to a field with a missing or damaged plane, or of which two "
        "channels have the same pixels: the run stops, or the field is excluded and listed in the "
        "report, as fields beyond a limit are.",
    )

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        values = {
            "min_focus": self.min_focus,
            "max_saturation": self.max_saturation,
            "min_contrast": self.min_contrast,
            "max_debris": self.max_debris,
            "min_nuclei": self.min_nuclei,
        }
        return {name: float(value) for name, value in values.items() if value is not None}
