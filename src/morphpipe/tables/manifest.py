"""The channel manifest: channels, stains, pixel size, intensity windows."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from morphpipe.core.errors import DataError


@dataclass(frozen=True)
class Channel:
    """One channel of the manifest.

    Attributes
    ----------
    name
        Short name, also the plane's name in an image archive.
    stain
        The dye and its target.
    """

    name: str
    stain: str


@dataclass(frozen=True)
class ChannelManifest:
    """Description of a field's planes, in order. It is stored in every derived file.

    Attributes
    ----------
    channels
        In the order of the planes.
    pixel_size
        Micrometres per pixel (y, x), or None if unknown.
    bit_depth
        8 or 16.
    licence, source
        Licence and source of the images.
    rgb
        Names of the channels shown as red, green and blue, if defined.
    preprocessing
        Configured preprocessing of the raw planes; None for pixels as published.
    intensity_windows
        Raw intensities mapped to 0 and the maximum, by plate, a pair per channel; empty for pixels
        as published and for windows per field.
    """

    channels: tuple[Channel, ...]
    pixel_size: tuple[float, float] | None
    bit_depth: int
    licence: str
    source: str
    rgb: tuple[str, str, str] | None = None
    preprocessing: dict[str, Any] | None = None
    intensity_windows: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in order."""
        return tuple(channel.name for channel in self.channels)

    def require(self, names: Iterable[str], stage: str) -> None:
        """Raise DataError unless the channels are those that a stage expects, in its order."""
        expected = tuple(names)
        if self.names != expected:
            raise DataError(
                f"{stage} expects the channels {', '.join(expected)} in this order, but the "
                f"images have {', '.join(self.names)}: reorder them in the dataset's channel map."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "ChannelManifest":
        """Inverse of `to_dict`."""
        content = dict(content)
        content["channels"] = tuple(Channel(**channel) for channel in content["channels"])
        for key in ("pixel_size", "rgb"):
            if content[key] is not None:
                content[key] = tuple(content[key])
        content["intensity_windows"] = {
            plate: tuple((low, high) for low, high in windows)
            for plate, windows in content["intensity_windows"].items()
        }
        return cls(**content)
