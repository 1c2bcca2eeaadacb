import numpy as np
import pytest

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.imaging.scaling import (
    IntensityHistogram,
    scale_minmax,
    scale_to_window,
    subtract_background,
)

PERCENTILES = [0, 0.1, 1, 25, 50, 75, 99.9, 100]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_percentiles_of_whole_numbers_are_numpys(dtype):
    generator = np.random.default_rng(0)
    planes = generator.gamma(2, 30, (5, 40, 50)).clip(0, 255).astype(dtype)
    histogram = IntensityHistogram()
    for plane in planes:
        histogram.add(plane)
    assert histogram.counts.dtype == np.int64
    assert histogram.counts.sum() == planes.size
    for q in PERCENTILES:
        assert histogram.percentile(q) == pytest.approx(np.percentile(planes, q), abs=1e-9)


def test_percentiles_between_far_values_are_numpys():
    histogram = IntensityHistogram()
    histogram.add(np.array([3, 65535, 100], np.uint16))
    for q in (0, 10, 50, 60, 99, 100):
        assert histogram.percentile(q) == pytest.approx(np.percentile([3, 100, 65535], q))


def test_percentiles_of_fractions_are_within_half_a_grey_value():
    values = np.random.default_rng(1).exponential(300, (60, 70)).astype(np.float32)
    histogram = IntensityHistogram()
    histogram.add(values[:20])
    histogram.add(values[20:])
    for q in PERCENTILES:
        assert histogram.percentile(q) == pytest.approx(np.percentile(values, q), abs=0.5)
    assert histogram.minimum == values.min()
    assert histogram.maximum == values.max()


@pytest.mark.parametrize("values", [[-1], [65536], [np.nan, 1.0], [1.0, np.inf]])
def test_histogram_refuses_what_no_grey_value_is(values):
    histogram = IntensityHistogram()
    with pytest.raises(DataError, match="grey values must be from 0"):
        histogram.add(np.array(values))
    assert histogram.counts.sum() == 0


def test_an_empty_histogram_has_no_percentile_and_no_range():
    histogram = IntensityHistogram()
    histogram.add(np.empty(0, np.uint8))
    for ask in (
        lambda: histogram.percentile(50),
        lambda: histogram.minimum,
        lambda: histogram.maximum,
    ):
        with pytest.raises(DataError, match="empty"):
            ask()
    histogram.add(np.array([1], np.uint8))
    with pytest.raises(ConfigError, match="between 0 and 100"):
        histogram.percentile(101)


def test_window_by_hand():
    plane = np.array([[0, 100, 101, 350], [600, 599, 601, 65535]], np.uint16)
    scaled = scale_to_window(plane, (100, 600))
    assert scaled.dtype == np.uint8
    # 1 / 500 * 255 = 0.51, 250 / 500 * 255 = 127.5 (to even), 499 / 500 * 255 = 254.49
    np.testing.assert_array_equal(scaled, [[0, 0, 1, 128], [255, 254, 255, 255]])


@pytest.mark.parametrize(("bit_depth", "dtype"), [(8, np.uint8), (12, np.uint16), (16, np.uint16)])
def test_window_fills_the_bit_depth(bit_depth, dtype):
    scaled = scale_to_window(np.array([5.0, 10.0, 15.0]), (5, 15), bit_depth=bit_depth)
    assert scaled.dtype == dtype
    assert scaled[0] == 0
    assert scaled[2] == 2**bit_depth - 1


def test_the_whole_window_of_16_bits_changes_nothing():
    plane = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(scale_to_window(plane, (0, 65535), bit_depth=16), plane)


@pytest.mark.parametrize("window", [(5, 5), (6, 5), (0, np.nan), (np.nan, 1), (0, np.inf)])
def test_an_empty_window_is_refused(window):
    with pytest.raises(DataError, match="is empty"):
        scale_to_window(np.zeros((2, 2)), window)


def test_window_refuses_values_and_depths_that_cannot_be():
    with pytest.raises(DataError, match="not finite"):
        scale_to_window(np.array([np.nan]), (0, 1))
    with pytest.raises(ConfigError, match="bit depth"):
        scale_to_window(np.array([0.5]), (0, 1), bit_depth=17)


def test_minmax_by_hand():
    scaled = scale_minmax(np.array([[200, 300], [1200, 700]], np.uint16))
    assert scaled.dtype == np.uint8
    # 100 / 1000 * 255 = 25.5 (to even), 500 / 1000 * 255 = 127.5 (to even)
    np.testing.assert_array_equal(scaled, [[0, 26], [255, 128]])


@pytest.mark.parametrize("plane", [np.zeros((3, 3), np.uint8), np.full((3, 3), 900.5)])
def test_minmax_refuses_an_empty_field(plane):
    with pytest.raises(DataError, match="same value everywhere"):
        scale_minmax(plane)


def test_background_is_subtracted_and_nothing_goes_below_zero():
    plane = np.array([[10, 20, 30], [40, 50, 1000]], np.uint16)
    result = subtract_background(plane, 50)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[0, 0, 0], [5, 15, 965]])
    np.testing.assert_array_equal(subtract_background(plane, 0), plane - 10.0)
    with pytest.raises(ConfigError):
        subtract_background(plane, -1)
    with pytest.raises(DataError, match="not finite"):
        subtract_background(np.array([np.nan]), 1)
