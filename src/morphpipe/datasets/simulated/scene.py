"""Where cells lie in a field: centres that crowd, outlines that touch, nuclei inside them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphpipe.datasets.simulated.phenotype import PARAMETERS, CellType

PIXEL_SIZE = 1.2
"""Size of a pixel in micrometres."""

Floats = NDArray[np.float32]

_SURROUNDINGS = 26  # pixels around the canvas where cells lie that reach into it
_FREE_PLACES = 5  # places a cell that stands alone chooses from
_OUTSIDE = 9.0  # relative distance from a cell's centre that stands for "no cell"
_CYTOPLASM_AROUND_NUCLEUS = 0.80  # a cell reaches at least to the nuclear outline over this
_NUCLEUS_OF_CELL = 0.42  # a nucleus takes at most this part of the area of its cell


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
    """2 in G1 to 4 in G2, over 2: from 1 to 2."""
    outline: NDArray[np.complex64]
    """[n, 4] Fourier coefficients (orders 2 to 5) of the relative radius of the cell."""
    nuclear_outline: NDArray[np.complex64]
    """[n, 2] the same of the nucleus (orders 2 and 3)."""
    parameters: Mapping[str, Floats]
    """Value of every parameter in every cell, in the parameter's unit."""

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Scene:
    """Which pixel belongs to what; maps are [H, W] over the canvas."""

    cells: Cells
    cell: NDArray[np.int32]
    """Index of the cell a pixel belongs to; -1 for background."""
    depth: Floats
    """Pixels to the cell's border, positive inside, towards neighbours as towards background."""
    nuclear_depth: Floats
    """Pixels to the nuclear outline of the pixel's own cell, positive inside the nucleus."""
    along: Floats
    """Position along the long axis of the pixel's cell, from its centre."""
    across: Floats
    """Position across it."""


def sample_parameters(
    medians: Mapping[str, float], count: int, generator: np.random.Generator
) -> dict[str, Floats]:
    """Draw every parameter of `count` cells of a well, lognormally around the well's medians."""
    noise = generator.standard_normal((len(PARAMETERS), count))
    return {
        name: np.float32(medians[name]) * np.exp(parameter.between_cells * z).astype(np.float32)
        for (name, parameter), z in zip(PARAMETERS.items(), noise, strict=True)
    }


def place_cells(
    cell_type: CellType, medians: Mapping[str, float], size: int, generator: np.random.Generator
) -> Cells:
    """Place the cells of a field on a canvas of `size` times `size` pixels and around it.

    Cells are set down one by one, beside another one with the cell type's cohesion, and then push
    each other apart until their bodies fit (an inhibited point process). Their number over the
    canvas and its surroundings is the expected one; a field is a window on them, so counts vary.
    """
    extent = size + 2 * _SURROUNDINGS
    expected = medians["cell_density"] * 1e-6 * (extent * PIXEL_SIZE) ** 2
    count = max(1, int(expected + generator.random()))
    parameters = sample_parameters(medians, count, generator)
    area = parameters["cell_area"] / PIXEL_SIZE**2
    nuclear_area = parameters["nuclear_area"] / PIXEL_SIZE**2

    # A nucleus doubles its DNA and grows; most cells of a culture are in G1.
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
    """Farthest that an outline comes from the centre, in pixels."""
    return 1.35 * np.sqrt(area / np.pi * np.clip(elongation, 1, 5))


def _fourier(
    amplitudes: tuple[float, ...], count: int, generator: np.random.Generator
) -> NDArray[np.complex64]:
    draws = generator.standard_normal((2, count, len(amplitudes))) * np.asarray(amplitudes) / 2**0.5
    return (draws[0] + 1j * draws[1]).astype(np.complex64)


def _set_down(
    cohesion: float, radius: Floats, extent: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Centres one by one: beside an earlier one, or the loneliest of a few free places."""
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
    """Divide the canvas between cells: each pixel goes to the cell relatively nearest to it.

    A cell is its Fourier-perturbed ellipse joined with a rim around its nucleus; where two
    cells meet, the border runs where they are equally near (a weighted Voronoi border), so cells
    touch and do not overlap.
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
    """Distance from the centre over the outline's distance in that direction: 1 on the outline."""
    scaled = own.real / semi_major + np.complex64(1j) * (own.imag / semi_minor)
    distance = np.sqrt(scaled.real**2 + scaled.imag**2)  # faster than abs, and no overflow here
    unit = scaled / np.maximum(distance, 1e-6)
    series = outline[-1] * unit
    for coefficient in outline[-2::-1]:
        series = (series + coefficient) * unit
    series *= unit  # the first order is a shift, not a change of shape
    return distance / np.maximum(1 + (series * unit).real, 0.5)
