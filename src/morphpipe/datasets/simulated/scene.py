"""Layout of cells in a field: positions, outlines and nuclei."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphpipe.datasets.simulated.phenotype import PARAMETERS, CellType

PIXEL_SIZE = 1.2
"""Size of a pixel in micrometres."""

Floats = NDArray[np.float32]

_SURROUNDINGS = 26  # margin of the canvas in which cells are placed, pixels
_FREE_PLACES = 5  # candidate places of a lone cell
_OUTSIDE = 9.0  # relative distance that means "no cell"
_CYTOPLASM_AROUND_NUCLEUS = 0.80  # minimum ratio of nuclear to cell outline, inverted
_NUCLEUS_OF_CELL = 0.42  # maximum fraction of a cell's area covered by its nucleus


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a field; arrays of length n, distances in pixels of the canvas."""

    row: Floats
    column: Floats
    angle: Floats
    area: Floats
    nuclear_area: Floats
    nucleus_row: Floats
    nucleus_column: Floats
    dna_content: Floats
    """DNA content relative to G1, from 1 to 2 (G2)."""
    outline: NDArray[np.complex64]
    """[n, 4] Fourier coefficients (orders 2 to 5) of the relative radius of the cell."""
    nuclear_outline: NDArray[np.complex64]
    """[n, 2] the same for the nucleus (orders 2 and 3)."""
    parameters: Mapping[str, Floats]
    """Value of each parameter per cell, in the parameter's unit."""

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Scene:
    """Pixel maps [H, W] of the canvas."""

    cells: Cells
    cell: NDArray[np.int32]
    """Index of the pixel's cell; -1 for background."""
    depth: Floats
    """Distance to the cell's border in pixels, positive inside."""
    nuclear_depth: Floats
    """Distance to the cell's nuclear outline in pixels, positive inside."""
    along: Floats
    """Position along the long axis of the pixel's cell, from its centre."""
    across: Floats
    """Position across it."""


def sample_parameters(
    medians: Mapping[str, float], count: int, generator: np.random.Generator
) -> dict[str, Floats]:
    """Draw the parameters of `count` cells lognormally around the well's medians."""
    noise = generator.standard_normal((len(PARAMETERS), count))
    return {
        name: np.float32(medians[name]) * np.exp(parameter.between_cells * z).astype(np.float32)
        for (name, parameter), z in zip(PARAMETERS.items(), noise, strict=True)
    }


def place_cells(
    cell_type: CellType, medians: Mapping[str, float], size: int, generator: np.random.Generator
) -> Cells:
    """Place the cells of a field on a canvas of `size` times `size` pixels and around it.

    Cells are placed one by one, next to another one with the cell type's cohesion, and then pushed
    apart until their bodies fit (an inhibited point process). Their number on the canvas and its
    surroundings is fixed; a field is a window on them, so counts vary.
    """
    extent = size + 2 * _SURROUNDINGS
    expected = medians["cell_density"] * 1e-6 * (extent * PIXEL_SIZE) ** 2
    count = max(1, int(expected + generator.random()))
    parameters = sample_parameters(medians, count, generator)
    area = parameters["cell_area"] / PIXEL_SIZE**2
    nuclear_area = parameters["nuclear_area"] / PIXEL_SIZE**2

    # Nuclei double their DNA and grow; most cells are in G1.
    dna_content = (1 + generator.beta(0.35, 0.9, count)).astype(np.float32)
    nuclear_area = nuclear_area * dna_content**0.35
    nuclear_area = np.minimum(nuclear_area, _NUCLEUS_OF_CELL * area)

    radius = np.sqrt(area / np.pi)
    position = _set_down(cell_type.cohesion, radius, extent, generator)
    position = _push_apart(position, radius, np.sqrt(nuclear_area / np.pi), extent)
    position -= _SURROUNDINGS

    common = generator.uniform(0, np.pi)
    free = generator.uniform(-np.pi / 2, np.pi / 2, count)
    angle = common + free * (1 - cell_type.alignment)
    nucleus = position + 0.10 * radius[:, None] * generator.standard_normal((count, 2))
    outline = _fourier((0.10, 0.055, 0.03, 0.015), count, generator)
    nuclear_outline = _fourier((0.05, 0.03), count, generator)

    # Only cells that can reach the canvas are drawn.
    reach = _reach(area, parameters["cell_elongation"])[:, None]
    seen = ((position > -reach) & (position < size + reach)).all(1)
    return Cells(
        row=position[seen, 0].astype(np.float32),
        column=position[seen, 1].astype(np.float32),
        angle=angle[seen].astype(np.float32),
        area=area[seen],
        nuclear_area=nuclear_area[seen].astype(np.float32),
        nucleus_row=nucleus[seen, 0].astype(np.float32),
        nucleus_column=nucleus[seen, 1].astype(np.float32),
        dna_content=dna_content[seen],
        outline=outline[seen],
        nuclear_outline=nuclear_outline[seen],
        parameters={name: values[seen] for name, values in parameters.items()},
    )


def _reach(area: Floats, elongation: Floats) -> Floats:
    return 1.35 * np.sqrt(area / np.pi * np.clip(elongation, 1, 5))


def _fourier(
    amplitudes: tuple[float, ...], count: int, generator: np.random.Generator
) -> NDArray[np.complex64]:
    draws = generator.standard_normal((2, count, len(amplitudes))) * np.asarray(amplitudes) / 2**0.5
    return (draws[0] + 1j * draws[1]).astype(np.complex64)


def _set_down(
    cohesion: float, radius: Floats, extent: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Place centres one by one: next to an earlier one, or at the emptiest of a few places."""
    count = len(radius)
    beside = generator.random(count) < cohesion
    neighbour = (generator.random(count) * np.arange(count)).astype(int)
    direction = generator.uniform(0, 2 * np.pi, count)
    places = generator.uniform(0, extent, (count, _FREE_PLACES, 2))
    position = places[:, 0].copy()
    for i in range(1, count):
        if beside[i]:
            distance = 0.9 * (radius[i] + radius[neighbour[i]])
            step = distance * np.array([np.sin(direction[i]), np.cos(direction[i])])
            position[i] = np.mod(position[neighbour[i]] + step, extent)
        else:
            apart = places[i, :, None] - position[None, :i]
            apart -= extent * np.round(apart / extent)
            loneliest = (apart**2).sum(-1).min(1).argmax()
            position[i] = places[i, loneliest]
    return position


def _push_apart(
    position: NDArray[np.float64], radius: Floats, nuclear_radius: Floats, extent: int
) -> NDArray[np.float64]:
    """Relax centres until bodies overlap little; space is a torus, so no cell is lost."""
    needed = np.maximum(
        0.80 * (radius[:, None] + radius[None, :]),
        1.25 * (nuclear_radius[:, None] + nuclear_radius[None, :]),
    )
    np.fill_diagonal(needed, 0)
    for _ in range(25):
        difference = position[:, None, :] - position[None, :, :]
        difference -= extent * np.round(difference / extent)
        distance = np.sqrt((difference**2).sum(-1)) + 1e-6
        overlap = np.maximum(needed - distance, 0)
        if overlap.max() < 0.5:
            break
        push = (0.35 * overlap / distance)[:, :, None] * difference
        position = position + push.sum(1)
        position = np.mod(position, extent)
    return position


def draw_scene(cells: Cells, size: int) -> Scene:
    """Assign each pixel of the canvas to the relatively nearest cell.

    A cell is a Fourier-perturbed ellipse joined with a rim around its nucleus; borders between
    cells are weighted Voronoi borders, so cells touch without overlap.
    """
    nearest = np.full((size, size), _OUTSIDE, np.float32)
    second = nearest.copy()
    cell = np.full((size, size), -1, np.int32)
    radius, nuclear_depth = np.zeros_like(nearest), np.full_like(nearest, -_OUTSIDE)
    along, across = np.zeros_like(nearest), np.zeros_like(nearest)
    elongation = np.clip(cells.parameters["cell_elongation"], 1, 5)
    reach = _reach(cells.area, elongation)
    semi_major = np.sqrt(cells.area / np.pi * elongation)
    semi_minor = semi_major / elongation
    nuclear_elongation = elongation**0.35
    nuclear_major = np.sqrt(cells.nuclear_area / np.pi * nuclear_elongation)
    nuclear_minor = nuclear_major / nuclear_elongation
    axis = np.arange(size, dtype=np.float32)

    for i in range(len(cells)):
        top, bottom = _window(cells.row[i], reach[i], size)
        left, right = _window(cells.column[i], reach[i], size)
        here = (slice(top, bottom), slice(left, right))
        direction = np.complex64(np.exp(-1j * cells.angle[i]))
        grid = axis[None, left:right] + np.complex64(1j) * axis[top:bottom, None]
        own = (grid - np.complex64(complex(cells.column[i], cells.row[i]))) * direction
        centre = np.complex64(complex(cells.nucleus_column[i], cells.nucleus_row[i]))
        of_nucleus = (grid - centre) * direction
        body = _relative(own, semi_major[i], semi_minor[i], cells.outline[i])
        nucleus = _relative(
            of_nucleus, nuclear_major[i], nuclear_minor[i], cells.nuclear_outline[i]
        )
        rim = _CYTOPLASM_AROUND_NUCLEUS * nucleus
        relative = np.minimum(body, rim)
        length = _local_radius(np.where(body <= rim, own, of_nucleus), relative)

        closer = relative < nearest[here]
        second[here] = np.where(closer, nearest[here], np.minimum(second[here], relative))
        nearest[here] = np.where(closer, relative, nearest[here])
        cell[here][closer] = i
        radius[here][closer] = length[closer]
        along[here][closer] = own.real[closer]
        across[here][closer] = own.imag[closer]
        to_nucleus = (1 - nucleus) * _local_radius(of_nucleus, nucleus)
        nuclear_depth[here][closer] = to_nucleus[closer]

    depth = np.minimum(1 - nearest, (second - nearest) / 2) * radius
    background = nearest >= 1
    depth[background] = ((1 - nearest) * radius)[background]
    cell[background] = -1
    depth[radius == 0] = -_OUTSIDE
    return Scene(cells, cell, depth, nuclear_depth, along, across)


def _window(centre: np.float32, reach: np.float32, size: int) -> tuple[int, int]:
    return max(0, int(centre - reach)), min(size, int(centre + reach) + 2)


def _local_radius(own: NDArray[np.complex64], relative: Floats) -> Floats:
    distance = np.sqrt(own.real**2 + own.imag**2)
    return (distance + np.float32(1e-3)) / (relative + np.float32(1e-4))


def _relative(
    own: NDArray[np.complex64],
    semi_major: np.float32,
    semi_minor: np.float32,
    outline: NDArray[np.complex64],
) -> Floats:
    """Distance from the centre relative to the outline: 1 on the outline."""
    scaled = own.real / semi_major + np.complex64(1j) * (own.imag / semi_minor)
    distance = np.sqrt(scaled.real**2 + scaled.imag**2)  # faster than abs, and no overflow here
    unit = scaled / np.maximum(distance, 1e-6)
    series = outline[-1] * unit
    for coefficient in outline[-2::-1]:
        series = (series + coefficient) * unit
    series *= unit  # the first order is a shift, not a change of shape
    return distance / np.maximum(1 + (series * unit).real, 0.5)
