import numpy as np
import pytest
from scipy.spatial.distance import pdist

from morphpipe.datasets.simulated import CELL_TYPES, PIXEL_SIZE
from morphpipe.datasets.simulated.scene import draw_scene, place_cells

SIZE = 256


def scene_of(name, *, density=1.0, seed=3):
    cell_type = CELL_TYPES[name]
    medians = dict(cell_type.medians)
    medians["cell_density"] *= density
    cells = place_cells(cell_type, medians, SIZE, np.random.default_rng(seed))
    return draw_scene(cells, SIZE)


def well_inside(cells, border=35):
    return [
        i
        for i in range(len(cells))
        if border < cells.row[i] < SIZE - border and border < cells.column[i] < SIZE - border
    ]


@pytest.mark.parametrize("name", CELL_TYPES)
def test_nuclei_lie_inside_their_cells(name):
    scene = scene_of(name)
    cells = scene.cells
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for i in well_inside(cells):
        distance = np.hypot(rows - cells.nucleus_row[i], columns - cells.nucleus_column[i])
        # A disc inside any outline that the nucleus may have: half its mean radius.
        core = distance < 0.5 * np.sqrt(cells.nuclear_area[i] / np.pi)
        assert (scene.cell[core] == i).all()
        assert (scene.depth[core] > 0).all()
    nuclear = (scene.nuclear_depth > 0) & (scene.cell >= 0)
    assert (scene.depth[nuclear] > 0).mean() > 0.999


@pytest.mark.parametrize("name", CELL_TYPES)
def test_areas_are_the_ones_asked_for(name):
    scene = scene_of(name, density=0.12)
    cells = scene.cells
    inside = well_inside(cells)
    assert len(inside) >= 2
    drawn = np.array([(scene.cell == i).sum() for i in inside])
    nuclear = np.array([((scene.cell == i) & (scene.nuclear_depth > 0)).sum() for i in inside])
    assert nuclear / cells.nuclear_area[inside] == pytest.approx(np.ones(len(inside)), rel=0.15)
    assert np.median(drawn / cells.area[inside]) == pytest.approx(1, rel=0.12)


@pytest.mark.parametrize("name", CELL_TYPES)
def test_centres_keep_apart_and_cells_touch(name):
    scene = scene_of(name)
    nuclear_diameter = 2 * np.sqrt(np.median(scene.cells.nuclear_area) / np.pi)
    distances = pdist(np.stack([scene.cells.row, scene.cells.column], 1))
    assert distances.min() > 0.8 * nuclear_diameter
    right, left = scene.cell[:, 1:], scene.cell[:, :-1]
    assert ((right != left) & (right >= 0) & (left >= 0)).any()


@pytest.mark.parametrize("name", CELL_TYPES)
def test_density_is_the_one_asked_for(name):
    counts = []
    for seed in range(6):
        cells = scene_of(name, seed=seed).cells
        on_canvas = (cells.row >= 0) & (cells.row < SIZE) & (cells.column >= 0)
        counts.append((on_canvas & (cells.column < SIZE)).sum())
    expected = CELL_TYPES[name].medians["cell_density"] * (SIZE * PIXEL_SIZE / 1000) ** 2
    assert np.mean(counts) == pytest.approx(expected, rel=0.1)


def test_fibroblasts_are_longer_than_epithelial_cells():
    def elongation(name):
        scene = scene_of(name)
        ratios = [
            scene.along[scene.cell == i].std() / scene.across[scene.cell == i].std()
            for i in well_inside(scene.cells)
        ]
        return np.median(ratios)

    assert elongation("fibroblast") > 1.6 * elongation("epithelial")
