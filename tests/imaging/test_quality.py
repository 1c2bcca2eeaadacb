import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.imaging.quality import measure_quality, power_spectrum_slope, reasons

SHAPE = (256, 256)


def background(seed, level=300.0, noise=8.0, shape=SHAPE):
    return np.random.default_rng(seed).normal(level, noise, shape)


def whole(plane):
    return np.rint(plane).clip(0, 65535).astype(np.uint16)


def nuclei(shape=SHAPE, spacing=32, radius=7):
    """A grid of discs: [H, W] of 0 and 1, and their number."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    centre = spacing // 2
    inside = (rows % spacing - centre) ** 2 + (columns % spacing - centre) ** 2 <= radius**2
    return inside.astype(float), (shape[0] // spacing) * (shape[1] // spacing)


def measure(plane, **settings):
    return measure_quality(whole(plane)[None], ["DNA"], nuclear="DNA", **settings)


def slope_by_rings(plane):
    """CellProfiler's definition written out over the whole spectrum, for square planes."""
    side = len(plane)
    spectrum = np.fft.fftshift(np.fft.fft2(plane - plane.mean()))
    rows, columns = np.mgrid[:side, :side] - side // 2
    ring = np.floor(np.sqrt(rows**2 + columns**2)) + 1
    numbers = np.arange(2, side // 8)
    power = [np.sum(np.abs(spectrum[ring == number]) ** 2) for number in numbers]
    design = np.stack([np.log(numbers), np.ones(len(numbers))], axis=1)
    return np.linalg.lstsq(design, np.log(power), rcond=None)[0][0]


@pytest.mark.parametrize("side", [32, 100, 256])
def test_focus_is_the_slope_over_rings_of_the_whole_spectrum(side):
    plane = gaussian_filter(np.random.default_rng(0).normal(500, 90, (side, side)), 1.5)
    assert power_spectrum_slope(plane) == pytest.approx(slope_by_rings(plane), abs=1e-3)


@pytest.mark.parametrize("shape", [(512, 512), (300, 420)])
@pytest.mark.parametrize("exponent", [-1.0, -3.0])
def test_focus_of_a_power_law(shape, exponent):
    generator = np.random.default_rng(1)
    rows, columns = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1])
    frequency = np.hypot(rows[:, None], columns)
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(generator.normal(size=shape))
    plane = np.fft.ifft2(noise * frequency ** (exponent / 2)).real
    # Ring n reaches from n - 1 to n, and holds coefficients in proportion to their frequency: the
    # integral of f^(a + 1), which is 1 for a = -1, and 1 / (n - 1) - 1 / n for a = -3.
    rings = np.arange(2, min(shape) // 8)
    power = {-1.0: np.ones(len(rings)), -3.0: 1 / (rings - 1) - 1 / rings}[exponent]
    expected = np.polyfit(np.log(rings), np.log(power), 1)[0]
    assert power_spectrum_slope(plane) == pytest.approx(expected, abs=0.1)


def test_blur_lowers_the_focus_step_by_step():
    cells, _ = nuclei()
    scene = 2000 * cells * np.random.default_rng(2).uniform(0.5, 1.5, SHAPE)
    focus = []
    for sigma in (0.5, 1, 2, 3, 4, 6):
        plane = gaussian_filter(scene, sigma) + background(3)
        focus.append(measure(plane)["focus_DNA"])
    assert (np.diff(focus) < -0.02).all()


def test_focus_does_not_depend_on_brightness():
    plane = gaussian_filter(background(4, noise=200), 2)
    assert power_spectrum_slope(3 * plane + 70) == pytest.approx(
        power_spectrum_slope(plane), abs=1e-3
    )


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_saturated_share_is_exact(dtype, highest):
    stack = np.random.default_rng(5).integers(0, highest, (2, 40, 50)).astype(dtype)
    stack[0, :4, :25] = highest
    quality = measure_quality(stack, ["a", "b_c"], nuclear=None)
    assert quality["saturation_a"] == 100 / 2000
    assert quality["saturation_b_c"] == 0
    assert set(quality) == {
        f"{measure}_{channel}"
        for measure in ("focus", "saturation", "contrast", "debris")
        for channel in ("a", "b_c")
    }


@pytest.mark.parametrize("highest", [1023, 4095, 16383, 65535])
def test_saturation_of_cameras_of_fewer_bits_in_16(highest):
    plane = np.full((40, 50), 100.0)
    plane[:5] = highest
    assert measure(plane)["saturation_DNA"] == 5 / 40
    plane[:5] = highest - 1
    assert measure(plane)["saturation_DNA"] == 0
    assert measure(plane, maximum=highest - 1)["saturation_DNA"] == 5 / 40


@pytest.mark.parametrize("level", [4, 40, 400, 4000])
def test_noise_alone_has_no_contrast_no_nuclei_and_no_debris(level):
    photons = np.random.default_rng(6).poisson(level, (512, 512))
    quality = measure(photons)
    assert quality["contrast_DNA"] < 1
    assert quality["nuclei"] == 0
    assert quality["foreground_DNA"] == 0
    assert quality["debris_DNA"] < 0.001
    assert reasons(quality, {"min_contrast": 3, "min_nuclei": 1}) == [
        f"DNA: the contrast is {quality['contrast_DNA']:.3g} (limit 3)",
        "0 nuclei were found (limit 1)",
    ]


@pytest.mark.parametrize("noise", [4.0, 8.0, 16.0])
def test_contrast_is_the_signal_in_standard_deviations(noise):
    # A tenth of the field is 1,000 above the rest, in blocks whose edges are few; the brightest
    # thousandth of the field is the brightest hundredth of the block, 2.33 deviations above it.
    plane = background(7, noise=noise, shape=(512, 512))
    plane[100:260, 100:260] += 1000
    assert measure(plane)["contrast_DNA"] == pytest.approx(1000 / noise + 2.33 - 3.09, rel=0.1)


def test_cells_are_counted_and_stand_out():
    cells, number = nuclei()
    quality = measure(gaussian_filter(1500 * cells, 1) + background(8))
    assert quality["nuclei"] == number
    assert quality["foreground_DNA"] == pytest.approx(cells.mean(), rel=0.1)
    assert quality["contrast_DNA"] > 50
    assert quality["debris_DNA"] < 0.005
    limits = {
        "min_focus": -3.5,
        "max_saturation": 0.01,
        "min_contrast": 10,
        "max_debris": 0.01,
        "min_nuclei": number,
    }
    assert reasons(quality, limits) == []


def test_a_constant_plane_is_never_good():
    quality = measure(np.full((64, 64), 800.0))
    assert np.isnan(quality["focus_DNA"])
    assert quality["contrast_DNA"] == 0
    assert quality["nuclei"] == 0
    assert quality["debris_DNA"] == 0
    assert reasons(quality, {"min_focus": -99}) == [
        "DNA: the focus cannot be measured, for the plane is constant or nearly so"
    ]


@pytest.mark.parametrize("brightness", [20000, 90000])
def test_a_fibre_is_debris(brightness):
    cells, _ = nuclei()
    plane = gaussian_filter(1500 * cells, 1) + background(9)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    fibre = np.abs(rows - columns) <= 4
    with_fibre = measure(plane + brightness * fibre)
    # Speckles of noise next to it cannot reach its brightness.
    assert with_fibre["debris_DNA"] == pytest.approx(fibre.mean(), rel=0.05)
    said = reasons(with_fibre, {"max_debris": 0.01})
    assert said == [
        f"DNA: one bright object covers {100 * with_fibre['debris_DNA']:.3g} % of the field "
        "(limit 1 %)"
    ]


def test_debris_that_saturates_is_seen_whatever_it_covers():
    plane = background(10)
    plane[:, :120] = 70000
    assert measure(plane)["debris_DNA"] == 120 / 256


def test_single_hot_pixels_are_no_debris():
    plane = background(11)
    plane[::16, ::16] = 60000
    assert measure(plane)["debris_DNA"] == pytest.approx(1 / plane.size)


def test_reasons_by_hand():
    quality = {
        "focus_DNA": -3.4,
        "saturation_DNA": 0.123,
        "contrast_DNA": 8.0,
        "debris_DNA": 0.01,
        "focus_ER_2": -2.0,
        "saturation_ER_2": 0.05,
        "foreground_DNA": 0.2,
        "nuclei": 3.0,
    }
    limits = {
        "min_focus": -3.0,
        "max_saturation": 0.05,
        "min_contrast": 8.0,
        "max_debris": 0.01,
        "min_nuclei": 5.0,
    }
    assert reasons(quality, limits) == [
        "DNA: the focus is -3.4 (limit -3)",
        "DNA: 12.3 % of the pixels are saturated (limit 5 %)",
        "3 nuclei were found (limit 5)",
    ]
    assert reasons(quality, {}) == []


def test_reasons_refuses_limits_that_cannot_be_applied():
    with pytest.raises(ConfigError, match="quality limit max_focus"):
        reasons({"focus_DNA": -2.0}, {"max_focus": 0})
    with pytest.raises(ConfigError, match="nuclei were not counted"):
        reasons({"focus_DNA": -2.0}, {"min_nuclei": 1})


@pytest.mark.parametrize(
    ("stack", "channels", "nuclear", "message"),
    [
        (np.zeros((1, 64, 64)), ["a"], None, "uint8 or uint16"),
        (np.zeros((64, 64), np.uint8), ["a"], None, r"\[C, H, W\]"),
        (np.zeros((1, 31, 64), np.uint8), ["a"], None, "31 x 64 pixels is too small"),
        (np.zeros((2, 64, 64), np.uint8), ["a"], None, "2 channels"),
        (np.zeros((2, 64, 64), np.uint8), ["a", "a"], None, "all different"),
        (np.zeros((1, 64, 64), np.uint8), ["a"], "DNA", "counted in DNA"),
    ],
)
def test_what_cannot_be_measured_is_refused(stack, channels, nuclear, message):
    with pytest.raises(DataError, match=message):
        measure_quality(stack, channels, nuclear=nuclear)
