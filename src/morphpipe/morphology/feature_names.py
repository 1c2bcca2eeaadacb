"""What the name of a CellProfiler measurement says: compartment, family of features, channels."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

METADATA = "Metadata_"
IMAGE = "Image"
CELL_COUNT = f"{IMAGE}_Count_Nuclei"

# Numbers of objects, which say nothing of their morphology: a median of them is no measurement.
_IDENTIFIERS = re.compile(r"(Parent_|Number_Object_Number|ObjectNumber|.*ClosestObjectNumber)")
# Where in the field an object lies. A field of view is cut at random: no phenotype is a place.
_POSITIONS = re.compile(r"(Location_|AreaShape_Center_|AreaShape_BoundingBox(Maximum|Minimum)_)")


@dataclass(frozen=True)
class FeatureName:
    """A feature of a profile, such as ``Nuclei_Texture_Contrast_DNA_3_00_256``, in its parts.

    Attributes
    ----------
    compartment
        ``Nuclei``, ``Cells``, ``Cytoplasm``, or ``Image`` for measurements of whole images.
    family
        CellProfiler's name of what measured it: ``AreaShape``, ``Texture``, …
    channel
        The channels that it was measured on, joined by ``+`` in the order of the name (two for
        colocalization); empty for shapes, counts and neighbours.
    """

    compartment: str
    family: str
    channel: str


def is_identifier(measurement: str) -> bool:
    """Whether a measurement of objects (without its compartment) is the number of an object."""
    return _IDENTIFIERS.match(measurement) is not None


def is_position(feature: str) -> bool:
    """Whether a feature (with its compartment) tells where in the field objects lie."""
    return _POSITIONS.match(feature.partition("_")[2]) is not None


def parse_feature(feature: str, channels: Iterable[str]) -> FeatureName:
    """Take a feature's name apart.

    Parameters
    ----------
    feature
        Column of a profile: the compartment, then CellProfiler's own name.
    channels
        The pipeline's names of its images.
    """
    compartment, _, measurement = feature.partition("_")
    family, _, rest = measurement.partition("_")
    names = "|".join(re.escape(name) for name in sorted(channels, key=len, reverse=True))
    # The lookahead leaves the separator for a channel that follows directly.
    found = re.findall(rf"(?:^|_)({names})(?=_|$)", rest) if names else []
    return FeatureName(compartment, family, "+".join(found))
