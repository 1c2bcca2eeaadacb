import numpy as np
import pytest
from scipy import stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.statistics import student_interval
from morphpipe.evaluation.effects.cate import (
    cate,
    cate_unbiased,
    error_of_mean,
    noise_of_mean,
    variance_of_cate,
)


def test_cate_by_hand():
    control = [[0.0, 0.0], [2.0, 0.0]]
    treated = [[4.0, 2.0], [4.0, 4.0], [4.0, 6.0]]
    assert cate(control, treated) == 3**2 + 4**2
    assert cate(treated, control) == 25
    # tr(S1)/n = 2/2 and tr(S2)/m = 4/3.
    assert cate_unbiased(control, treated) == pytest.approx(25 - 1 - 4 / 3)


def test_float32_features_keep_their_digits():
    treated = np.full((1000, 1), 1 / 3, dtype=np.float32)
    assert cate(np.zeros((5, 1), np.float32), treated) == pytest.approx(
        float(np.float32(1 / 3)) ** 2, rel=1e-14
    )


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_bias_is_the_noise_of_both_means_and_is_taken_off(shift):
    generator = np.random.default_rng(0)
    n, m, d = 10, 15, 20
    biased, unbiased = [], []
    for _ in range(2000):
        x = generator.standard_normal((n, d))
        y = 2 * generator.standard_normal((m, d)) + shift
        biased.append(cate(x, y))
        unbiased.append(cate_unbiased(x, y))
    truth = d * shift**2
    tolerance = 4 * np.std(biased) / 2000**0.5
    assert np.mean(biased) == pytest.approx(truth + d / n + 4 * d / m, abs=tolerance)
    assert np.mean(unbiased) == pytest.approx(truth, abs=tolerance)


def test_wells_that_share_a_deviation_need_their_labels():
    generator = np.random.default_rng(1)
    wells = np.repeat(np.arange(6), 5)

    def draw():
        return generator.standard_normal((6, 8))[wells] + generator.standard_normal((30, 8))

    pairs = [(draw(), draw()) for _ in range(1500)]
    with_wells = [cate_unbiased(x, y, control_groups=wells, treated_groups=wells) for x, y in pairs]
    without = [cate_unbiased(x, y) for x, y in pairs]
    tolerance = 4 * np.std(with_wells) / 1500**0.5
    assert abs(np.mean(with_wells)) < tolerance
    # The wells' own variance 1/6 in 8 columns and 2 sets stays, but for what 30 fields show of it.
    assert np.mean(without) > 2


def test_variance_of_the_effect_by_simulation():
    """Against the scatter of many screens: few wells and many, no effect and a large one."""
    generator = np.random.default_rng(0)
    spread = np.linspace(0.5, 2, 12)

    def screen(wells, shift):
        x, y = (spread * generator.standard_normal((wells, 12)) for _ in range(2))
        y = y + shift
        value = cate_unbiased(x, y)
        difference = x.mean(axis=0) - y.mean(axis=0)
        return value, variance_of_cate(difference, error_of_mean(x), error_of_mean(y))

    for wells in (3, 6, 40):
        for shift in (0.0, 1.0):
            values, variances = np.array([screen(wells, shift) for _ in range(3000)]).T
            # Where there is no effect the part of it, cut at 0, stays positive.
            assert 0.9 < np.mean(variances) / np.var(values) < (1.9 if shift == 0 else 1.25)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("wells", [3, 6, 30])
def test_intervals_of_effects_cover_and_are_no_wider_than_twice_what_is_needed(wells, shift):
    generator = np.random.default_rng([wells, int(10 * shift)])
    spread = np.linspace(0.2, 1.5, 30)
    covered, widths, values = 0, [], []
    for _ in range(400):
        x, y = (spread * generator.standard_normal((wells, 30)) for _ in range(2))
        y[:, :10] += shift
        value = cate_unbiased(x, y)
        difference = x.mean(axis=0) - y.mean(axis=0)
        variance = variance_of_cate(difference, error_of_mean(x), error_of_mean(y))
        low, high = student_interval(value, variance, 2 * wells - 2)
        covered += low <= 10 * shift**2 <= high
        widths.append(high - low)
        values.append(value)
    assert covered / 400 > 0.9
    needed = 2 * stats.t.ppf(0.975, 2 * wells - 2) * np.std(values)
    assert np.mean(widths) < 1.4 * needed


def test_labels_of_single_images_change_nothing():
    x = np.random.default_rng(0).normal(size=(7, 3))
    expected = np.trace(np.cov(x, rowvar=False)) / 7
    assert noise_of_mean(x) == pytest.approx(expected, rel=1e-12)
    assert noise_of_mean(x, list("abcdefg")) == pytest.approx(expected, rel=1e-12)


def test_bad_input_is_no_number():
    x = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(DataError, match="at least 1"):
        cate(x[:0], x)
    with pytest.raises(DataError, match=r"control.*3 columns.*treated.*2"):
        cate(x, x[:, :2])
    with pytest.raises(DataError, match="treated features hold NaN"):
        cate(x, np.where(x > 0, np.nan, x))
    with pytest.raises(DataError, match="at least 2"):
        cate_unbiased(x[:1], x)
    with pytest.raises(DataError, match="single well"):
        cate_unbiased(x, x, control_groups=np.zeros(6))
    with pytest.raises(DataError, match="one well label"):
        cate_unbiased(x, x, control_groups=np.zeros(5))
