"""Phenotype of simulated cells: named parameters and cell types.

Parameters are positive and vary lognormally between cells of a well and between wells. Cell types
are sets of medians, chosen so that the six stains resemble a Cell Painting assay at a pixel of 1.2
micrometres; they are not measurements.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from morphpipe.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named property of cells.

    Attributes
    ----------
    description, unit
        Description, and unit of its medians.
    between_cells, between_wells
        Standard deviations of the natural logarithm between cells of a well and between wells of a
        condition. Density, a property of fields, has no spread between cells.
    """

    description: str
    unit: str
    between_cells: float
    between_wells: float

    @property
    def deviation(self) -> float:
        """Standard deviation of the logarithm over all cells of a condition."""
        return math.hypot(self.between_cells, self.between_wells)


@dataclass(frozen=True, slots=True)
class CellType:
    """A cell type: the median of every parameter, and the arrangement of its cells.

    Attributes
    ----------
    medians
        Median of every parameter in `PARAMETERS`, in that parameter's unit.
    cohesion
        Probability (0 to 1) that a cell is placed next to another one.
    alignment
        Alignment of neighbouring cells, from 0 (none) to 1.
    """

    name: str
    description: str
    medians: Mapping[str, float]
    cohesion: float
    alignment: float


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "cell_density": Parameter("cells per area of the field", "1/mm^2", 0.0, 0.15),
        "cell_area": Parameter("area of a cell that nothing crowds", "um^2", 0.18, 0.05),
        "cell_elongation": Parameter("long axis over short axis", "1", 0.15, 0.04),
        "nuclear_area": Parameter("area of the nucleus in G1", "um^2", 0.12, 0.04),
        "nucleolus_count": Parameter("nucleoli per nucleus", "1", 0.25, 0.05),
        "mitochondria_length": Parameter("length of a mitochondrion", "um", 0.20, 0.06),
        "Golgi_spread": Parameter("arc of the Golgi ribbon around the nucleus", "rad", 0.25, 0.05),
        "stress_fibres": Parameter("stress fibres over cortical actin", "1", 0.25, 0.06),
        "DNA_level": Parameter("Hoechst brightness", "1", 0.12, 0.05),
        "ER_level": Parameter("concanavalin A brightness", "1", 0.18, 0.05),
        "actin_level": Parameter("phalloidin brightness", "1", 0.18, 0.05),
        "RNA_level": Parameter("SYTO 14 brightness", "1", 0.15, 0.05),
        "mito_level": Parameter("MitoTracker brightness", "1", 0.20, 0.06),
        "Golgi_level": Parameter("wheat germ agglutinin brightness", "1", 0.20, 0.05),
    }
)


def _cell_type(
    name: str, description: str, *, cohesion: float, alignment: float, **medians: float
) -> CellType:
    if set(medians) != set(PARAMETERS):
        raise ValueError(f"cell type {name} must name every parameter once")
    return CellType(name, description, MappingProxyType(medians), cohesion, alignment)


CELL_TYPES: Mapping[str, CellType] = MappingProxyType(
    {
        cell_type.name: cell_type
        for cell_type in (
            _cell_type(
                "epithelial",
                "small round cells in dense colonies: strong cortex, bright DNA",
                cohesion=0.5,
                alignment=0.0,
                cell_density=950.0,
                cell_area=760.0,
                cell_elongation=1.12,
                nuclear_area=150.0,
                nucleolus_count=2.0,
                mitochondria_length=5.0,
                Golgi_spread=1.0,
                stress_fibres=0.15,
                DNA_level=1.10,
                ER_level=0.75,
                actin_level=1.25,
                RNA_level=1.0,
                mito_level=0.75,
                Golgi_level=0.9,
            ),
            _cell_type(
                "fibroblast",
                "large spindle cells, sparse and aligned: stress fibres, long mitochondria",
                cohesion=0.15,
                alignment=0.85,
                cell_density=500.0,
                cell_area=1350.0,
                cell_elongation=2.7,
                nuclear_area=165.0,
                nucleolus_count=2.5,
                mitochondria_length=13.0,
                Golgi_spread=1.6,
                stress_fibres=1.1,
                DNA_level=0.75,
                ER_level=0.85,
                actin_level=0.95,
                RNA_level=0.7,
                mito_level=0.85,
                Golgi_level=1.2,
            ),
            _cell_type(
                "hepatic",
                "polygonal cells with round nuclei, rich in mitochondria and ER",
                cohesion=0.4,
                alignment=0.0,
                cell_density=720.0,
                cell_area=1080.0,
                cell_elongation=1.2,
                nuclear_area=125.0,
                nucleolus_count=3.0,
                mitochondria_length=3.5,
                Golgi_spread=1.2,
                stress_fibres=0.2,
                DNA_level=0.9,
                ER_level=1.35,
                actin_level=0.7,
                RNA_level=1.25,
                mito_level=1.45,
                Golgi_level=0.6,
            ),
            _cell_type(
                "endothelial",
                "flat oval cells with large nuclei and a wide Golgi",
                cohesion=0.3,
                alignment=0.4,
                cell_density=580.0,
                cell_area=1250.0,
                cell_elongation=1.6,
                nuclear_area=215.0,
                nucleolus_count=4.0,
                mitochondria_length=8.0,
                Golgi_spread=2.2,
                stress_fibres=0.55,
                DNA_level=0.7,
                ER_level=1.0,
                actin_level=0.7,
                RNA_level=0.85,
                mito_level=1.0,
                Golgi_level=1.35,
            ),
        )
    }
)


def cell_type_named(name: str) -> CellType:
    """Look up a cell type.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if name not in CELL_TYPES:
        raise ConfigError(
            f"The simulated screen has no cell type {name!r}; choose from {', '.join(CELL_TYPES)}."
        )
    return CELL_TYPES[name]
