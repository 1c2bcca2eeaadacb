import math

import numpy as np
import pytest

from morphpipe.core.errors import ConfigError
from morphpipe.datasets.simulated import (
    CELL_TYPES,
    PARAMETERS,
    PERTURBATIONS,
    ScreenDesign,
    plate_layout,
    simulate_scene,
    true_effect,
)


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_control_and_inert_have_no_effect(cell_type):
    assert true_effect("control", cell_type) == 0.0
    assert true_effect("inert", cell_type) == 0.0


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_graded_series_goes_with_the_square_of_its_strength(cell_type):
    full = true_effect("graded-high", cell_type)
    assert full > 0
    assert math.isclose(true_effect("graded-mid", cell_type), full * 4 / 9)
    assert math.isclose(true_effect("graded-low", cell_type), full / 9)


def test_a_selective_compound_acts_in_its_cell_type_only():
    effects = {name: true_effect("hepatic-ER-expansion", name) for name in CELL_TYPES}
    assert effects.pop("hepatic") > 1
    assert set(effects.values()) == {0.0}


def test_only_the_control_is_no_compound():
    assert {name for name, p in PERTURBATIONS.items() if p.kind == "none"} == {"control"}
    assert all(set(p.shifts) <= set(PARAMETERS) for p in PERTURBATIONS.values())


@pytest.mark.parametrize("names", [("nonsense", "hepatic"), ("control", "nonsense")])
def test_unknown_names_are_refused_and_the_known_ones_told(names):
    with pytest.raises(ConfigError, match=r"choose from .*(control|hepatic)"):
        true_effect(*names)


def test_true_effect_is_what_the_cells_of_a_screen_show():
    """The formula against the parameters of simulated cells, plates and wells drawn at random."""
    design = ScreenDesign(
        seed=5,
        cell_types=("endothelial",),
        perturbations=("control", "nuclear-swelling"),
        plates=1,
        replicates=120,
        sites=1,
    )
    cells: dict[str, list[np.ndarray]] = {"control": [], "nuclear-swelling": []}
    for well in plate_layout(design, 1):
        parameters = simulate_scene(design, well, 1).cells.parameters
        cells[well.perturbation].append(np.log(np.stack(list(parameters.values()))))
    control, treated = (np.concatenate(cells[name], axis=1) for name in cells)
    difference = treated.mean(1) - control.mean(1)
    spread = np.sqrt((control.var(1) + treated.var(1)) / 2)
    measured = float(((difference / spread) ** 2).sum())
    assert measured == pytest.approx(true_effect("nuclear-swelling", "endothelial"), rel=0.15)
