"""Preprocessing of raw planes to 8-bit images, and quality control of fields."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import Model, PositiveInt

Percentile = Annotated[float, Field(ge=0, le=100)]


class Preprocessing(Model):
    """Preprocessing of raw planes, in this order unless `order` changes it."""

    background: Percentile | None = Field(
        None, description="Percentile of each plane that is subtracted from it; null: none."
    )
    illumination: Literal["none", "plate", "plate-site", "given"] = Field(
        "none",
        description="Illumination function that planes are divided by: none; the smoothed mean "
        "image of the channel over the plate, or over the plate's fields of the same site; or the "
        "function that comes with the data (Cell Painting Gallery).",
    )
    smoothing: Literal["gaussian", "median"] = Field(
        "gaussian", description="Filter that smooths the mean image."
    )
    sigma: float = Field(500.0, gt=0, description="Width of the filter, pixels.")
    floor: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Quantile of the smoothed image that is scaled to 1, its minimum.",
    )
    scaling: Literal["percentiles", "minmax", "fixed"] = Field(
        "percentiles",
        description="How intensities are scaled to 0-255: between two percentiles; between minimum "
        "and maximum of each plane; or between `windows`.",
    )
    percentiles: tuple[Percentile, Percentile] = Field(
        (0.1, 99.9), description="Lower and upper percentile, for `percentiles`."
    )
    scale_over: Literal["plate", "field"] = Field(
        "plate",
        description="Percentiles of the channel over the plate, which keep intensity differences "
        "between its wells, or of each field.",
    )
    windows: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="Lower and upper intensity per channel, for `fixed`."
    )
    order: Literal["illumination-first", "scaling-first"] = Field(
        "illumination-first",
        description="`scaling-first` corrects illumination after the conversion to 8 bit, as "
        "MorphoDiff's released notebook does; this is wrong, and only for reproduction.",
    )
    resize: Literal["none", "centre-crop", "squash", "tiles"] = Field(
        "none",
        description="How fields are resized to `size`: not; cropped at the centre; rescaled to the "
        "square, ignoring the aspect ratio; or cut into tiles, each a field of its own.",
    )
    size: PositiveInt = Field(512, description="Height and width after `resize`, pixels.")

    @model_validator(mode="after")
    def _settings(self) -> "Preprocessing":
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(
                f"percentiles are {self.percentiles[0]:g} and {self.percentiles[1]:g}: the first "
                "must be the lower one"
            )
        for channel, (low, high) in self.windows.items():
            if low >= high:
                raise ValueError(f"windows.{channel} is {low:g} to {high:g}: it must increase")
        if self.scaling == "fixed" and not self.windows:
            raise ValueError("scaling 'fixed' needs `windows`, two intensities per channel")
        if self.order == "scaling-first" and self.scaling != "minmax":
            raise ValueError("order 'scaling-first' needs scaling 'minmax'")
        return self


class Quality(Model):
    """Limits of quality control. All measures are computed; only given limits exclude fields."""

    min_focus: float | None = Field(
        None,
        description="Minimum log-log slope of the power spectrum of each plane. RxRx1's five test "
        "fields have -0.9 to -2.0; blurred fields have less.",
    )
    max_saturation: float | None = Field(
        None, ge=0, le=1, description="Maximum fraction of saturated pixels in a plane."
    )
    min_contrast: float | None = Field(
        None, description="Minimum signal-to-noise ratio of a plane; about 0 for an empty field."
    )
    max_debris: float | None = Field(
        None, ge=0, le=1, description="Maximum fraction of a plane that one bright object covers."
    )
    min_nuclei: PositiveInt | None = Field(None, description="Minimum number of nuclei in a field.")
    min_maximum: int | None = Field(
        None,
        ge=0,
        le=255,
        description="Lowest allowed maximum of a field after scaling; MorphoDiff's notebook for "
        "Rohban et al. excludes fields below 60.",
    )
    saturated_at: PositiveInt | None = Field(
        None,
        description="Grey value of a saturated raw pixel; null: the plane's maximum if it is the "
        "largest value of 10, 12 or 14 bits (1023, 4095, 16383), else that of the data type.",
    )
    nuclear: str = Field("DNA", description="Channel to count nuclei in, if it exists.")
    unreadable: Literal["stop", "quarantine"] = Field(
        "stop",
        description="What to do with a field that has a missing or damaged plane, or two channels "
        "with identical pixels: stop, or exclude the field and list it in the report, as for "
        "fields beyond a limit.",
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
