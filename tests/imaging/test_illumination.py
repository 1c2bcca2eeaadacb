import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.imaging.illumination import MeanImage, correct_illumination, illumination_function


def vignette(height, width):
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows / height - 0.5, columns / width - 0.4)
    return 1000 * np.exp(-(distance**2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_mean_image_is_the_mean(dtype):
    planes = np.random.default_rng(0).integers(0, 200, (7, 5, 6)).astype(dtype)
    mean = MeanImage()
    for plane in planes:
        mean.add(plane)
    assert mean.count == 7
    assert mean.mean().dtype == np.float64
    np.testing.assert_allclose(mean.mean(), planes.astype(float).mean(axis=0), rtol=1e-14)


def test_mean_image_does_not_overflow():
    mean = MeanImage()
    for _ in range(3):
        mean.add(np.full((2, 2), 65535, np.uint16))
    assert (mean.mean() == 65535).all()


def test_mean_image_refuses_other_shapes_and_no_planes():
    mean = MeanImage()
    with pytest.raises(DataError, match="no plane was added"):
        mean.mean()
    mean.add(np.zeros((4, 5)))
    with pytest.raises(DataError, match=r"\(5, 4\) follows planes of \(4, 5\)"):
        mean.add(np.zeros((5, 4)))
    with pytest.raises(DataError, match=r"\[H, W\]"):
        mean.add(np.zeros((1, 4, 5)))
    with pytest.raises(DataError, match="finite values"):
        mean.add(np.full((4, 5), np.nan))
    assert mean.count == 1


@pytest.mark.parametrize(("shape", "sigma"), [((64, 80), 3.0), ((61, 40), 15.0), ((48, 64), 200.0)])
def test_gaussian_equals_the_direct_convolution(shape, sigma):
    mean = np.random.default_rng(1).uniform(100, 1000, shape)
    smooth = gaussian_filter(mean, sigma, mode="reflect", truncate=8)
    floor = np.quantile(smooth, 0.02)
    expected = np.maximum(smooth, floor) / floor
    function = illumination_function(mean, sigma=sigma)
    assert function.dtype == np.float32
    np.testing.assert_allclose(function, expected, rtol=1e-6)


def test_a_full_field_at_sigma_500_takes_less_than_a_second():
    mean = vignette(1024, 1280)
    start = time.process_time()
    function = illumination_function(mean)
    assert time.process_time() - start < 1
    assert function.shape == mean.shape


@pytest.mark.parametrize("quantile", [0.0002, 0.02, 0.3])
def test_the_floor_is_the_quantile_and_becomes_one(quantile):
    mean = vignette(200, 300)
    function = illumination_function(mean, sigma=20, floor_quantile=quantile)
    assert function.min() == 1
    assert np.mean(function == 1) == pytest.approx(quantile, abs=2 / mean.size)


def test_zeros_are_left_out_of_the_quantile():
    # Half of the image is 0 and stays so far from the edge: the floor is taken from the rest.
    mean = np.zeros((20, 400))
    mean[:, 200:] = 100
    function = illumination_function(mean, sigma=2, floor_quantile=0.5)
    assert function[10, 0] == 1
    assert function[10, -1] == pytest.approx(1, abs=1e-6)


def test_median_is_near_the_median_at_full_size_and_ignores_specks():
    mean = vignette(160, 200)
    sigma = 16.0
    reference = median_filter(mean, size=38, mode="reflect")
    floor = np.quantile(reference, 0.02)
    function = illumination_function(mean, sigma=sigma, method="median")
    np.testing.assert_allclose(function, np.maximum(reference, floor) / floor, rtol=0.01)
    speckled = mean.copy()
    speckled[70:76, 100:106] *= 20
    after = illumination_function(speckled, sigma=sigma, method="median")
    np.testing.assert_allclose(after, function, rtol=0.01)
    gaussian = illumination_function(mean, sigma=sigma)
    moved = illumination_function(speckled, sigma=sigma)
    assert np.abs(moved / gaussian - 1).max() > 0.2


@pytest.mark.parametrize("method", ["gaussian", "median"])
def test_an_even_mean_gives_ones_whatever_its_brightness(method):
    for brightness in (0.5, 40000):
        function = illumination_function(np.full((50, 70), brightness), sigma=9, method=method)
        np.testing.assert_allclose(function, 1, rtol=1e-6)


def test_correction_undoes_the_shading_it_was_made_of():
    shading = vignette(128, 128)
    function = illumination_function(shading, sigma=1, floor_quantile=0)
    cells = np.random.default_rng(2).uniform(10, 60, shading.shape)
    plane = np.rint(cells * shading / shading.min()).astype(np.uint16)
    corrected = correct_illumination(plane, function)
    assert corrected.dtype == np.float32
    # Rounded to whole grey values of at least 10, and smoothed over a pixel.
    np.testing.assert_allclose(corrected, cells, rtol=0.06)
    assert (corrected <= plane).all()


def test_correction_divides():
    plane = np.array([[10, 20]], np.uint8)
    corrected = correct_illumination(plane, np.array([[0.5, 4.0]]))
    np.testing.assert_array_equal(corrected, [[20, 5]])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (np.ones((3, 2)), "same size"),
        (np.array([[1, 0, 1], [1, 1, 1]]), "not positive"),
        (np.array([[1, np.nan, 1], [1, 1, 1]]), "not finite"),
        (np.array([[1, np.inf, 1], [1, 1, 1]]), "not finite"),
        (np.array([[1, -1, 1], [1, 1, 1]]), "not positive"),
    ],
)
def test_correction_refuses_functions_that_cannot_divide(function, message):
    with pytest.raises(DataError, match=message):
        correct_illumination(np.ones((2, 3), np.uint16), function)


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (np.zeros((4, 4)), "0 everywhere"),
        (np.full((4, 4), np.nan), "finite"),
        (-np.ones((4, 4)), "non-negative"),
        (np.ones((1, 4, 4)), r"\[H, W\]"),
    ],
)
def test_function_refuses_means_that_are_none(mean, message):
    with pytest.raises(DataError, match=message):
        illumination_function(mean)


def test_a_mean_that_the_median_leaves_nothing_of():
    mean = np.zeros((40, 40))
    mean[3, 3] = 9
    with pytest.raises(DataError, match="use the Gaussian"):
        illumination_function(mean, sigma=5, method="median")


@pytest.mark.parametrize("setting", [{"sigma": 0}, {"floor_quantile": 2}, {"method": "mean"}])
def test_function_refuses_settings_out_of_range(setting):
    with pytest.raises(ConfigError):
        illumination_function(np.ones((4, 4)), **setting)
