"""Fixed positions against the formulas of the published networks, place by place."""

import math

import numpy as np
import pytest

from morphpipe.encoders.openphenom import GRID, WIDTH, _Backbone
from morphpipe.generators.sit import SiT
from morphpipe.imaging.positions import grid_positions


def quarters(place, bands):
    angles = [place / 10_000 ** (band / bands) for band in range(bands)]
    return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]


def published(grid, width, rows_first):
    """Row by row, each place by itself."""
    found = []
    for y in range(grid[0]):
        for x in range(grid[1]):
            first, second = (y, x) if rows_first else (x, y)
            found.append(quarters(first, width // 4) + quarters(second, width // 4))
    return np.array(found)


@pytest.mark.parametrize("rows_first", [True, False])
@pytest.mark.parametrize(("grid", "width"), [((1, 1), 4), ((5, 3), 24), ((2, 40), 384)])
def test_positions_in_closed_form(grid, width, rows_first):
    found = grid_positions(grid, width, rows_first=rows_first)
    np.testing.assert_allclose(found, published(grid, width, rows_first), atol=1e-5)


def test_sit_has_the_columns_of_dit():
    network = SiT.from_preset(
        "SiT-test/2", latent_channels=4, latent_size=(6, 10), perturbations=2, cell_types=1
    )
    np.testing.assert_allclose(network.positions, published((3, 5), 64, False), atol=1e-5)


def test_openphenom_has_its_own_columns_behind_an_empty_class_token():
    found = _Backbone().pos_embed[0].numpy()
    assert not found[0].any()
    one = published((GRID, GRID), WIDTH, True)
    np.testing.assert_allclose(found[1 : 1 + GRID**2], one, atol=1e-5)
    np.testing.assert_allclose(found[-(GRID**2) :], one, atol=1e-5)
