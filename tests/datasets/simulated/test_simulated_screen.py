import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
from scipy.stats import ttest_ind
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops

from morphpipe.core.errors import ConfigError
from morphpipe.datasets.simulated import (
    CELL_TYPES,
    CHANNELS,
    PERTURBATIONS,
    STAINS,
    ScreenDesign,
    Well,
    plate_layout,
    simulate_field,
    simulate_scene,
)

WHOLE = ScreenDesign(
    seed=11,
    cell_types=tuple(CELL_TYPES),
    perturbations=tuple(PERTURBATIONS),
    plates=3,
    replicates=2,
)


def design(**changes):
    return dataclasses.replace(WHOLE, **changes)


def test_every_condition_stands_equally_often_on_a_plate():
    wells = plate_layout(WHOLE, 2)
    counts = Counter((well.cell_type, well.perturbation) for well in wells)
    assert len(counts) == len(CELL_TYPES) * len(PERTURBATIONS)
    assert set(counts.values()) == {2}
    assert len({well.well for well in wells}) == len(wells) == WHOLE.wells_per_plate
    assert {well.plate for well in wells} == {"plate-002"}


def test_layouts_are_repeated_by_the_seed_and_differ_between_plates():
    assert plate_layout(WHOLE, 1) == plate_layout(WHOLE, 1)
    of_plates = [[(w.well, w.perturbation) for w in plate_layout(WHOLE, n)] for n in (1, 2)]
    assert of_plates[0] != of_plates[1]
    assert plate_layout(WHOLE, 1) != plate_layout(design(seed=12), 1)


def test_density_is_a_multiple_of_the_cell_types_own():
    def cells(density):
        screen = design(density=density, perturbations=("control", "inert"), field_size=192)
        wells = plate_layout(screen, 1)
        return np.mean([simulate_scene(screen, w, s).cells.row.size for w in wells for s in (1, 2)])

    usual = cells(1.0)
    assert cells(0.5) == pytest.approx(usual / 2, rel=0.1)
    well = plate_layout(WHOLE, 1)[0]
    same = simulate_field(design(density=1.0), well, 1)
    assert np.array_equal(same, simulate_field(WHOLE, well, 1))
    with pytest.raises(ConfigError, match="density of the simulated screen is 0"):
        design(density=0.0)


def test_a_field_is_the_same_in_any_order_and_any_process():
    wells = plate_layout(WHOLE, 1)[:3]
    forward = [simulate_field(WHOLE, well, site) for well in wells for site in (1, 2)]
    backward = [simulate_field(WHOLE, well, site) for well in wells[::-1] for site in (2, 1)]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward[::-1], strict=True))
    assert len({field.tobytes() for field in forward}) == len(forward)
    program = (
        "import hashlib\n"
        "from morphpipe.datasets.simulated import *\n"
        f"design = {WHOLE!r}\n"
        f"field = simulate_field(design, {wells[1]!r}, 2)\n"
        "print(hashlib.sha256(field.tobytes()).hexdigest())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == hashlib.sha256(forward[3].tobytes()).hexdigest()


def test_a_field_does_not_depend_on_the_rest_of_the_design():
    well = plate_layout(WHOLE, 1)[0]
    smaller = design(cell_types=(well.cell_type,), perturbations=(well.perturbation,), plates=1)
    assert np.array_equal(simulate_field(WHOLE, well, 1), simulate_field(smaller, well, 1))
    other_seed = simulate_field(design(seed=12), well, 1)
    assert not np.array_equal(simulate_field(WHOLE, well, 1), other_seed)


@pytest.mark.parametrize("size", [33, 96, 256])
def test_shape_type_and_range(size):
    well = Well("plate-001", "C07", "hepatic", "control")
    field = simulate_field(design(field_size=size), well, 1)
    assert field.shape == (len(CHANNELS), size, size) == (len(STAINS), size, size)
    assert field.dtype == np.uint8


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_background_is_dark_and_cells_use_the_range_without_saturating(cell_type):
    for perturbation in PERTURBATIONS:
        fields = fields_of(cell_type, perturbation, 8)
        assert ((fields == 255).mean((0, 2, 3)) < 0.01).all(), perturbation
        assert (np.percentile(fields, 2, axis=(0, 2, 3)) < 15).all(), perturbation
    assert (np.percentile(fields_of(cell_type, "control", 8), 99.8, axis=(0, 2, 3)) > 50).all()


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_inert_is_the_control_image_for_image(cell_type):
    """The same well with the inert compound instead of the control: not one bit may differ."""
    control = Well("plate-001", "D05", cell_type, "control")
    inert = dataclasses.replace(control, perturbation="inert")
    assert np.array_equal(simulate_field(WHOLE, control, 1), simulate_field(WHOLE, inert, 1))
    selective = dataclasses.replace(control, perturbation="hepatic-ER-expansion")
    same = np.array_equal(simulate_field(WHOLE, control, 1), simulate_field(WHOLE, selective, 1))
    assert same == (cell_type != "hepatic")


@cache
def fields_of(cell_type, perturbation, count=30):
    """Fields of one condition, each in a well of its own (no two conditions share a well)."""
    offset = list(PERTURBATIONS).index(perturbation) * 1000
    wells = [Well("plate-001", f"well-{offset + i}", cell_type, perturbation) for i in range(count)]
    return np.stack([simulate_field(WHOLE, well, 1) for well in wells])


@cache
def measure(cell_type, perturbation):
    """Per field: nuclei, their median area and brightness, mean of each stain over the cells."""
    rows = []
    for field in fields_of(cell_type, perturbation):
        dna = gaussian(field[0].astype(float), 1)
        nuclei = [
            region
            for region in regionprops(label(dna > threshold_otsu(dna)), intensity_image=field[0])
            if region.area > 25
        ]
        rna = gaussian(field[3].astype(float), 1)
        stains = field[:, rna > 15].mean(1)
        rows.append(
            [
                len(nuclei),
                np.median([region.area for region in nuclei]),
                np.median([region.intensity_mean for region in nuclei]),
                *stains,
            ]
        )
    names = ["count", "area", "brightness", *CHANNELS]
    return dict(zip(names, np.array(rows).T, strict=True))


def means(measure_name, cell_type, *perturbations):
    return [measure(cell_type, name)[measure_name].mean() for name in perturbations]


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_graded_series_shows_in_its_order(cell_type):
    series = ("control", "graded-low", "graded-mid", "graded-high")
    for name, sign in (("count", -1), ("ER", -1), ("mito", 1)):
        values = sign * np.array(means(name, cell_type, *series))
        assert (np.diff(values) > 0).all(), (name, values)
    count = means("count", cell_type, "control", "graded-high")
    # The shift of cell_density is -0.60: 0.55 times as many cells.
    assert count[1] / count[0] == pytest.approx(np.exp(-0.6), abs=0.15)


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_nuclear_swelling_enlarges_and_dims_nuclei(cell_type):
    area = means("area", cell_type, "control", "nuclear-swelling")
    brightness = means("brightness", cell_type, "control", "nuclear-swelling")
    assert area[1] > 1.25 * area[0]
    assert brightness[1] < 0.85 * brightness[0]


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_actin_and_golgi_perturbations_move_their_stains(cell_type):
    actin = means("actin", cell_type, "control", "actin-bundling")
    golgi = means("Golgi", cell_type, "control", "Golgi-dispersal")
    assert actin[1] > 1.2 * actin[0]
    assert golgi[1] < 0.9 * golgi[0]


def test_selective_compound_brightens_the_er_of_hepatic_cells():
    er = means("ER", "hepatic", "control", "hepatic-ER-expansion")
    assert er[1] > 1.25 * er[0]


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_other_wells_of_inert_are_within_sampling_error_of_control(cell_type):
    def smallest_p(perturbation):
        control, other = measure(cell_type, "control"), measure(cell_type, perturbation)
        return min(ttest_ind(control[name], other[name]).pvalue for name in control)

    # Nine measures a cell type: Bonferroni at 1 %. The same test finds the graded compound.
    assert smallest_p("inert") > 0.01 / 36
    assert smallest_p("graded-mid") < 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell_types": ("HUVEC",)}, "cell type 'HUVEC'.*epithelial"),
        ({"perturbations": ("control", "aspirin")}, "perturbation 'aspirin'.*inert"),
        ({"perturbations": ("control", "control")}, "no duplicates"),
        ({"cell_types": ()}, "at least one"),
        ({"seed": -1}, "seed"),
        ({"plates": 0}, "plates"),
        ({"replicates": 0}, "replicates"),
        ({"sites": 0}, "sites"),
        ({"field_size": 16}, "field_size"),
        ({"replicates": 9}, "needs 324 wells"),
    ],
)
def test_bad_designs_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        design(**changes)


def test_plates_and_sites_outside_the_design_are_refused():
    with pytest.raises(ConfigError, match="no plate 4"):
        plate_layout(WHOLE, 4)
    with pytest.raises(ConfigError, match="no site 3"):
        simulate_field(WHOLE, plate_layout(WHOLE, 1)[0], 3)
