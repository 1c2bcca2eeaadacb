import numpy as np
import pytest

from morphpipe.datasets.simulated.optics import MARGIN, PlateOptics, draw_plate_optics, take_image

EVEN = PlateOptics(0.5, 0.5, 0.0, (1.0,) * 6)


def photograph(light, plate=EVEN, seed=0):
    return take_image(light, plate, np.random.default_rng(seed)).astype(float)


def flat(level, size=128):
    return np.full((6, size + 2 * MARGIN, size + 2 * MARGIN), level, np.float32)


@pytest.mark.parametrize("level", [0.0, 30.0, 120.0])
def test_mean_and_variance_of_the_camera(level):
    image = photograph(flat(level))
    assert image.shape == (6, 128, 128)
    # Offset 7 grey levels; shot noise at 7 electrons a grey level, read noise 0.9, rounding 1/12.
    assert image.mean() == pytest.approx(7 + level, abs=0.1)
    assert image.var() == pytest.approx(level / 7 + 0.9**2 + 1 / 12, rel=0.05)


def test_a_point_spreads_by_wavelength_and_keeps_its_light():
    light = flat(0)
    middle = light.shape[-1] // 2
    light[:, middle, middle] = 400
    image = np.mean([photograph(light, seed=seed) for seed in range(60)], axis=0) - 7
    centre = middle - MARGIN
    around = image[:, centre - 20 : centre + 21, centre - 20 : centre + 21]
    assert around.sum((1, 2)) == pytest.approx(np.full(6, 400), rel=0.06)
    # Beside the peak, the sharp part of a Gaussian sampled at pixel centres, on the haze's 14 %.
    beside = image[
        :, [centre - 1, centre, centre, centre + 1], [centre, centre - 1, centre + 1, centre]
    ]
    ratio = beside.mean(1) / image[:, centre, centre]
    for channel, wavelength in enumerate((0.46, 0.52, 0.60, 0.53, 0.67, 0.57)):
        width = np.hypot(0.21 * wavelength / 0.45, 0.55) / 1.2
        assert ratio[channel] == pytest.approx(np.exp(-0.5 / width**2), abs=0.02)
    assert ratio[4] > ratio[0]


def test_illumination_falls_off_from_its_centre():
    plate = PlateOptics(0.4, 0.6, 0.15, (1.0,) * 6)
    field = plate.illumination(100)
    assert np.unravel_index(field.argmax(), field.shape) in {(39, 59), (39, 60), (40, 59), (40, 60)}
    assert field[39, 59] == pytest.approx(1, abs=1e-3)
    assert field.min() > 0.7


def test_channels_take_the_plates_intensity():
    plate = PlateOptics(0.5, 0.5, 0.0, (0.5, 0.8, 1.0, 1.1, 1.2, 1.5))
    means = photograph(flat(60.0), plate).mean((1, 2)) - 7
    assert means / 60 == pytest.approx(np.array(plate.intensity), rel=0.01)


def test_plates_differ_by_about_eight_percent():
    plates = [draw_plate_optics(np.random.default_rng(seed)) for seed in range(300)]
    logs = np.log([plate.intensity for plate in plates])
    assert logs.std(0) == pytest.approx(np.full(6, 0.08), rel=0.2)
    assert abs(logs.mean()) < 0.01
