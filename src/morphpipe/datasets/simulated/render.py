"""Render the six stains of a scene: light emitted by each structure of each cell."""

import numpy as np
import scipy  # lazy: each start of Snakemake needs only the programmes
from numpy.typing import NDArray

from morphpipe.datasets.simulated.scene import PIXEL_SIZE, Floats, Scene

CHANNELS = ("DNA", "ER", "actin", "RNA", "mito", "Golgi")
"""Channels in RxRx1's order, w1 to w6."""

STAINS = (
    "Hoechst 33342",
    "Concanavalin A, Alexa Fluor 488",
    "Phalloidin, Alexa Fluor 568",
    "SYTO 14",
    "MitoTracker Deep Red",
    "Wheat germ agglutinin, Alexa Fluor 555",
)
"""Dyes of the channels."""

# Grey levels per channel of a structure of relative brightness 1.
_GREY_LEVELS = np.array([110, 105, 95, 110, 120, 150], np.float32)


def render_stains(scene: Scene, generator: np.random.Generator) -> Floats:
    """Draw the light of a scene before optics.

    Parameters
    ----------
    scene
        Cells and maps over a canvas of H x W pixels.
    generator
        Random generator of the texture.

    Returns
    -------
    float32 [6, H, W]
        Light in grey levels of the camera, without background, in the order of `CHANNELS`.
    """
    shape = scene.cell.shape
    texture = _Texture(shape, generator)
    inside = scene.cell >= 0
    cell = np.where(inside, scene.cell, 0)
    parameters = scene.cells.parameters

    body = np.clip(scene.depth + 0.5, 0, 1)
    nucleus = np.clip(scene.nuclear_depth + 0.5, 0, 1) * body
    cytoplasm = body * (1 - nucleus)
    # A cell is thick around the nucleus and thin at its rim.
    thickness = 1 - np.exp(-np.maximum(scene.depth, 0) / 3.5)
    from_nucleus = np.maximum(-scene.nuclear_depth, 0)
    nucleoli = _nucleoli(scene, generator) * nucleus

    dna = nucleus * (1 + 0.22 * texture.coarse) * (1 - 0.5 * np.minimum(nucleoli, 1))
    dna = dna * scene.cells.dna_content[cell] ** 0.4 + 0.02 * body

    perinuclear = np.exp(-from_nucleus / 6.5)
    reticulum = np.maximum(1 + 0.38 * texture.fine, 0)
    er = cytoplasm * thickness * (0.15 + 0.9 * perinuclear) * reticulum + 0.16 * nucleus

    cortex = body * np.exp(-0.5 * ((scene.depth - 0.9) / 1.0) ** 2)
    fibres = _stress_fibres(scene, cell, texture, generator) * body * thickness
    actin = 0.14 * body * thickness + 0.55 * cortex * (1 + 0.25 * texture.coarse)
    strength = parameters["stress_fibres"] / (1 + 0.35 * parameters["stress_fibres"])
    actin = actin + 1.05 * strength[cell] * fibres * (1 - 0.4 * nucleus)

    rna = cytoplasm * thickness * (0.22 + 0.30 * perinuclear) * (1 + 0.15 * texture.coarse)
    rna = rna + nucleus * 0.30 + 0.95 * nucleoli

    mito = _mitochondria(scene, generator) * cytoplasm + 0.05 * body * thickness

    membrane = body * np.exp(-0.5 * (scene.depth / 1.0) ** 2)
    envelope = body * np.exp(-0.5 * (scene.nuclear_depth / 0.8) ** 2)
    golgi = 0.16 * body * thickness + 0.20 * membrane + 0.12 * envelope
    golgi = golgi + _golgi_ribbons(scene, generator) * cytoplasm

    light = np.stack([dna, er, actin, rna, mito, golgi])
    levels = np.stack([parameters[f"{channel}_level"] for channel in CHANNELS])[:, cell]
    return (_GREY_LEVELS[:, None, None] * levels * light).astype(np.float32)


class _Texture:
    """Noise of zero mean and about unit variance on the canvas, at two scales."""

    def __init__(self, shape: tuple[int, int], generator: np.random.Generator) -> None:
        white = generator.standard_normal((2, *shape), dtype=np.float32)
        self.coarse = _standard(scipy.ndimage.gaussian_filter(white[0], 1.8, mode="wrap"))
        self.fine = _standard(scipy.ndimage.gaussian_filter(white[1], 0.9, mode="wrap"))


def _standard(noise: Floats) -> Floats:
    return np.clip(noise / noise.std(), -2.5, 2.5)


def _nucleoli(scene: Scene, generator: np.random.Generator) -> Floats:
    """Round bright spots in each nucleus, one to five; 1 in the middle of a nucleolus."""
    cells = scene.cells
    mean = cells.parameters["nucleolus_count"]
    count = np.clip(np.floor(mean + generator.random(len(cells))), 1, 5).astype(int)
    owner = np.repeat(np.arange(len(cells)), count)
    radius = np.sqrt(cells.nuclear_area / np.pi)[owner]
    place = 0.55 * radius * np.sqrt(generator.random(len(owner)))
    angle = generator.uniform(0, 2 * np.pi, len(owner))
    # The nucleoli of a nucleus cover a fixed fraction of its area.
    width = np.sqrt(0.055 * cells.nuclear_area[owner] / count[owner])
    return _spots(
        scene.cell,
        owner,
        cells.nucleus_row[owner] + place * np.sin(angle),
        cells.nucleus_column[owner] + place * np.cos(angle),
        np.clip(width, 0.8, 2.2),
        np.ones(len(owner), np.float32),
    )


def _spots(
    cell: NDArray[np.int32],
    owner: NDArray[np.intp],
    row: Floats,
    column: Floats,
    width: Floats,
    height: Floats,
) -> Floats:
    """Sum of Gaussian spots, each restricted to the pixels of its cell."""
    step = np.arange(-5, 6)
    rows = np.round(row).astype(int)[:, None, None] + step[:, None]
    columns = np.round(column).astype(int)[:, None, None] + step[None, :]
    distance = (rows - row[:, None, None]) ** 2 + (columns - column[:, None, None]) ** 2
    spot = height[:, None, None] * np.exp(-0.5 * distance / width[:, None, None] ** 2)
    return _deposit(cell, owner[:, None, None], rows, columns, spot)


def _deposit(
    cell: NDArray[np.int32],
    owner: NDArray[np.intp],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    amount: Floats,
) -> Floats:
    """Add amounts to pixels on the canvas that belong to the owner."""
    height, width = cell.shape
    owner, rows, columns, amount = np.broadcast_arrays(owner, rows, columns, amount)
    on_canvas = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = (rows * width + columns)[on_canvas]
    own = cell.ravel()[index] == owner[on_canvas]
    total = np.bincount(index[own], weights=amount[on_canvas][own], minlength=height * width)
    return total.reshape(height, width).astype(np.float32)


def _stress_fibres(
    scene: Scene,
    cell: NDArray[np.int32],
    texture: _Texture,
    generator: np.random.Generator,
) -> Floats:
    count = len(scene.cells)
    spacing = generator.uniform(3.6, 4.8, count).astype(np.float32)[cell]
    phase = generator.uniform(0, 2 * np.pi, count).astype(np.float32)[cell]
    waves = np.cos(2 * np.pi * scene.across / spacing + phase + 0.6 * texture.coarse)
    return ((1 + waves) / 2) ** 2 * (1 + 0.2 * texture.fine)


def _mitochondria(scene: Scene, generator: np.random.Generator) -> Floats:
    """Worm-like filaments around the nucleus; their total length follows the cell's area."""
    cells = scene.cells
    length = np.maximum(cells.parameters["mitochondria_length"] / PIXEL_SIZE, 1)
    count = np.clip(np.round(0.24 * cells.area / length), 4, 200).astype(int)
    owner = np.repeat(np.arange(len(cells)), count)
    # Start between the nucleus and the rim, nearer the nucleus.
    nucleus = np.sqrt(cells.nuclear_area / np.pi)[owner]
    rim = np.sqrt(cells.area / np.pi)[owner]
    start = nucleus + (0.95 * rim - nucleus) * generator.beta(1.0, 1.8, len(owner))
    around = generator.uniform(0, 2 * np.pi, len(owner))
    stretch = np.sqrt(np.clip(cells.parameters["cell_elongation"], 1, 5))[owner]
    own = start * (np.cos(around) * stretch + 1j * np.sin(around) / stretch)
    turn = np.exp(1j * cells.angle)[owner]
    centre = (cells.nucleus_column + 1j * cells.nucleus_row)[owner]
    # A filament is a smooth random walk, on average along the cell.
    own_length = length[owner] * generator.gamma(4.0, 0.25, len(owner))
    pace = 0.7
    steps = int(np.clip(np.ceil(own_length.max() / pace), 1, 40))
    heading = np.angle(own)[:, None] * 0.5 + generator.normal(0, 0.7, (len(owner), 1))
    heading = heading + 0.22 * generator.standard_normal((len(owner), steps)).cumsum(1)
    path = (own * turn + centre)[:, None] + pace * turn[:, None] * np.exp(1j * heading).cumsum(1)
    drawn = np.arange(steps) * pace < own_length[:, None]
    point, owner = path[drawn], np.repeat(owner, drawn.sum(1))
    return _line(scene.cell, owner, point.imag, point.real, 0.62 * pace)


def _line(
    cell: NDArray[np.int32], owner: NDArray[np.intp], row: Floats, column: Floats, bright: float
) -> Floats:
    """Anti-aliased lines through points less than a pixel apart."""
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    lower, right = row - top, column - left
    lines = np.zeros(cell.shape, np.float32)
    for down, vertical in ((0, 1 - lower), (1, lower)):
        for over, horizontal in ((0, 1 - right), (1, right)):
            amount = bright * vertical * horizontal
            lines += _deposit(cell, owner, top + down, left + over, amount)
    return scipy.ndimage.gaussian_filter(np.minimum(lines, 1.6), 0.65, mode="constant")


def _golgi_ribbons(scene: Scene, generator: np.random.Generator) -> Floats:
    cells = scene.cells
    stacks = 12
    owner = np.repeat(np.arange(len(cells)), stacks)
    side = generator.uniform(0, 2 * np.pi, len(cells))[owner]
    spread = np.minimum(cells.parameters["Golgi_spread"], 6.2)[owner]
    angle = side + spread * (np.tile(np.linspace(-0.5, 0.5, stacks), len(cells)))
    jitter = generator.standard_normal((2, len(owner)))
    radius = np.sqrt(cells.nuclear_area / np.pi)[owner] * 1.12 + 1.4 + 0.7 * np.abs(jitter[0])
    angle = angle + 0.10 * jitter[1]
    # A longer ribbon is thinner: the membrane is conserved.
    height = np.clip(0.52 / np.sqrt(spread), 0.12, 0.55)
    return _spots(
        scene.cell,
        owner,
        cells.nucleus_row[owner] + radius * np.sin(angle),
        cells.nucleus_column[owner] + radius * np.cos(angle),
        np.full(len(owner), 0.95, np.float32),
        height.astype(np.float32),
    )
