"""Parse names of CellProfiler measurements: compartment, feature family, channels."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

METADATA = "Metadata_"
IMAGE = "Image"
CELL_COUNT = f"{IMAGE}_Count_Nuclei"

# Object numbers, which are not morphology.
_IDENTIFIERS = re.compile(r"(Parent_|Number_Object_Number|ObjectNumber|.*ClosestObjectNumber)")
# Positions in the field, which are arbitrary and carry no phenotype.
_POSITIONS = re.compile(r"(Location_|AreaShape_Center_|AreaShape_BoundingBox(Maximum|Minimum)_)")


@dataclass(frozen=True)
class FeatureName:
    """The parts of a profile feature such as ``Nuclei_Texture_Contrast_DNA_3_00_256``.

    Attributes
    ----------
    compartment
        ``Nuclei``, ``Cells``, ``Cytoplasm``, or ``Image`` for measurements of whole images.
    family
        CellProfiler's family: ``AreaShape``, ``Texture``, …
    channel
        Its channels, joined by ``+`` in the order of the name (two for colocalization); empty for
        shapes, counts and neighbours.
    """

    compartment: str
    family: str
    channel: str


def is_identifier(measurement: str) -> bool:
    """Whether an object measurement (without compartment) is an object number."""
    return _IDENTIFIERS.match(measurement) is not None


def is_position(feature: str) -> bool:
    """Whether a feature (with compartment) is a position in the field."""
    return _POSITIONS.match(feature.partition("_")[2]) is not None


def parse_feature(feature: str, channels: Iterable[str]) -> FeatureName:
    """Split a feature's name into its parts.

    Parameters
    ----------
    feature
        Column of a profile: the compartment, then CellProfiler's own name.
    channels
        The pipeline's image names.
    """
    compartment, _, measurement = feature.partition("_")
    family, _, rest = measurement.partition("_")
    names = "|".join(re.escape(name) for name in sorted(channels, key=len, reverse=True))
    # The lookahead keeps the separator for a directly following channel.
    found = re.findall(rf"(?:^|_)({names})(?=_|$)", rest) if names else []
    return FeatureName(compartment, family, "+".join(found))
