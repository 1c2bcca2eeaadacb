"""Simulated screen: plate layout and images of fields of view."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphpipe.core.errors import ConfigError
from morphpipe.datasets.simulated.optics import MARGIN, draw_plate_optics, take_image
from morphpipe.datasets.simulated.perturbations import perturbation_named
from morphpipe.datasets.simulated.phenotype import PARAMETERS, cell_type_named
from morphpipe.datasets.simulated.render import render_stains
from morphpipe.datasets.simulated.scene import Scene, draw_scene, place_cells

# 384-well plate without edge wells: rows B to O, columns 2 to 23.
_ROWS = "BCDEFGHIJKLMNO"
_COLUMNS = range(2, 24)
_SMALLEST_FIELD = 32


@dataclass(frozen=True, slots=True)
class ScreenDesign:
    """A screen: every perturbation in every cell type on every plate.

    Attributes
    ----------
    seed
        At least 0; determines all images.
    field_size
        Pixels along each side of a field of view.
    cell_types, perturbations
        Names in `CELL_TYPES` and `PERTURBATIONS`.
    plates, replicates, sites
        Numbers of plates, wells per condition and plate, and fields per well.
    density
        Cells per area relative to the cell type's density; positive.

    Raises
    ------
    ConfigError
        If a name is unknown or repeated, a number is too small, or the conditions do not fit on a
        plate.
    """

    seed: int
    cell_types: tuple[str, ...]
    perturbations: tuple[str, ...]
    plates: int
    replicates: int
    field_size: int = 96
    sites: int = 2
    density: float = 1.0

    def __post_init__(self) -> None:
        """Validate the design."""
        for cell_type in self.cell_types:
            cell_type_named(cell_type)
        for perturbation in self.perturbations:
            perturbation_named(perturbation)
        for key in ("cell_types", "perturbations"):
            names = getattr(self, key)
            if not names or len(set(names)) < len(names):
                raise ConfigError(
                    f"{key} of the simulated screen must have at least one entry and no "
                    f"duplicates; got {names}."
                )
        for key, least in (
            ("seed", 0),
            ("plates", 1),
            ("replicates", 1),
            ("sites", 1),
            ("field_size", _SMALLEST_FIELD),
        ):
            if getattr(self, key) < least:
                raise ConfigError(
                    f"{key} of the simulated screen is {getattr(self, key)}; "
                    f"set it to {least} or more."
                )
        if not self.density > 0:
            raise ConfigError(f"density of the simulated screen is {self.density}; set it above 0.")
        wells, room = self.wells_per_plate, len(_ROWS) * len(_COLUMNS)
        if wells > room:
            raise ConfigError(
                f"The simulated screen needs {wells} wells per plate, but a plate has {room}; use "
                "fewer replicates and more plates."
            )

    @property
    def wells_per_plate(self) -> int:
        """Number of wells used on each plate."""
        return len(self.cell_types) * len(self.perturbations) * self.replicates


@dataclass(frozen=True, slots=True)
class Well:
    """A well of a plate and the condition in it; `well` is a name such as `"B03"`."""

    plate: str
    well: str
    cell_type: str
    perturbation: str


def plate_layout(design: ScreenDesign, plate: int) -> list[Well]:
    """Lay out plate number `plate` (from 1): each condition in `replicates` random wells.

    Returns
    -------
    list of Well
        Sorted by name.

    Raises
    ------
    ConfigError
        If the design has no such plate.
    """
    if not 1 <= plate <= design.plates:
        raise ConfigError(
            f"The simulated screen has no plate {plate}; its plates are 1 to {design.plates}."
        )
    name = f"plate-{plate:03d}"
    positions = [f"{row}{column:02d}" for row in _ROWS for column in _COLUMNS]
    order = _generator(design.seed, "layout", name).permutation(len(positions))
    conditions = [
        (cell_type, perturbation)
        for cell_type in design.cell_types
        for perturbation in design.perturbations
        for _ in range(design.replicates)
    ]
    wells = [
        Well(name, positions[place], *condition)
        for place, condition in zip(order[: len(conditions)], conditions, strict=True)
    ]
    return sorted(wells, key=lambda well: well.well)


def simulate_field(design: ScreenDesign, well: Well, site: int) -> NDArray[np.uint8]:
    """Simulate the image of field `site` (from 1) of a well.

    The image depends only on the seed, field size, well and site.

    Returns
    -------
    uint8 [6, field_size, field_size]
        Planes in the order of `CHANNELS`.

    Raises
    ------
    ConfigError
        If the design has no such site, or the well has an unknown condition.
    """
    scene = simulate_scene(design, well, site)
    generator = _generator(design.seed, "image", well.plate, well.well, str(site))
    plate = draw_plate_optics(_generator(design.seed, "plate", well.plate))
    return take_image(render_stains(scene, generator), plate, generator)


def simulate_scene(design: ScreenDesign, well: Well, site: int) -> Scene:
    """Lay out the cells of a field; the canvas is `MARGIN` pixels wider on each side.

    The geometry behind `simulate_field`, as ground truth of cells and nuclei; raises the same
    errors.
    """
    if not 1 <= site <= design.sites:
        raise ConfigError(
            f"The wells of the simulated screen have no site {site}; "
            f"their sites are 1 to {design.sites}."
        )
    cell_type = cell_type_named(well.cell_type)
    medians = _well_medians(design, well)
    generator = _generator(design.seed, "scene", well.plate, well.well, str(site))
    size = design.field_size + 2 * MARGIN
    return draw_scene(place_cells(cell_type, medians, size, generator), size)


def _well_medians(design: ScreenDesign, well: Well) -> dict[str, float]:
    shifts = perturbation_named(well.perturbation).shifts_in(well.cell_type)
    noise = _generator(design.seed, "well", well.plate, well.well).standard_normal(len(PARAMETERS))
    medians = dict(cell_type_named(well.cell_type).medians)
    medians["cell_density"] *= design.density
    return {
        name: medians[name] * float(np.exp(shifts.get(name, 0.0) + parameter.between_wells * z))
        for (name, parameter), z in zip(PARAMETERS.items(), noise, strict=True)
    }


def _generator(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.blake2b("/".join(names).encode(), digest_size=16).digest()
    entropy = [seed, int.from_bytes(digest, "little")]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
