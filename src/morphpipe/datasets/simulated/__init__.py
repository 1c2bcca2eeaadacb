"""A simulated Cell Painting screen whose true effects are known.

A small physical model: touching cells with nuclei, nucleoli, endoplasmic reticulum, actin,
mitochondria and Golgi; six stains in RxRx1's channel order; point-spread blur, haze, illumination,
shot and read noise; plate effects. Cell types differ in named parameters, which perturbations shift
by known amounts. Everything follows from one seed.
"""

from morphpipe.datasets.simulated.optics import BIT_DEPTH
from morphpipe.datasets.simulated.perturbations import (
    PERTURBATIONS,
    Perturbation,
    true_effect,
)
from morphpipe.datasets.simulated.phenotype import (
    CELL_TYPES,
    PARAMETERS,
    CellType,
    Parameter,
)
from morphpipe.datasets.simulated.render import CHANNELS, STAINS
from morphpipe.datasets.simulated.scene import PIXEL_SIZE
from morphpipe.datasets.simulated.screen import (
    ScreenDesign,
    Well,
    plate_layout,
    simulate_field,
    simulate_scene,
)

__all__ = [
    "BIT_DEPTH",
    "CELL_TYPES",
    "CHANNELS",
    "PARAMETERS",
    "PERTURBATIONS",
    "PIXEL_SIZE",
    "STAINS",
    "CellType",
    "Parameter",
    "Perturbation",
    "ScreenDesign",
    "Well",
    "plate_layout",
    "simulate_field",
    "simulate_scene",
    "true_effect",
]
