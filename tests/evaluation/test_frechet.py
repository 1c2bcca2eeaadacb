import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from morphpipe.core.errors import DataError
from morphpipe.evaluation.distances.frechet import frechet_distance, linearised_frechet_distance


def inception_like(seed, count, width=2048):
    """Non-negative features whose spectrum decays, as those of Inception do."""
    generator = np.random.default_rng(seed)
    basis = np.random.default_rng(7).standard_normal((width, width)) / width**0.5
    spectrum = 1 / np.arange(1, width + 1) ** 0.7
    latent = generator.standard_normal((count, width)) * spectrum
    return np.maximum(0.4 + latent @ basis * 4, 0).astype(np.float32)


def closed_form_of_moments(x, y):
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(linalg.sqrtm(s1) @ s2 @ linalg.sqrtm(s1))
    difference = x.mean(0) - y.mean(0)
    return difference @ difference + np.trace(s1 + s2 - 2 * root.real)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 70, 5), (40, 30, 20), (12, 200, 6), (300, 8, 4)])
def test_equals_the_matrix_square_root(n, m, d):
    generator = np.random.default_rng(n)
    x = generator.normal(size=(n, d)) @ generator.normal(size=(d, d))
    y = generator.normal(size=(m, d)) + generator.normal(size=d)
    expected = closed_form_of_moments(x, y)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_equals_forty_digits():
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(9, 4)) * [1, 3, 0.1, 2], generator.normal(size=(11, 4)) + 0.3
    with mpmath.workdps(40):

        def moments(rows):
            matrix = mpmath.matrix(rows.tolist())
            ones = mpmath.ones(1, matrix.rows)
            mean = ones * matrix / matrix.rows
            centred = matrix - ones.T * mean
            return mean, centred.T * centred / (matrix.rows - 1)

        (m1, s1), (m2, s2) = moments(x), moments(y)
        # tr sqrt(S1 S2) is the sum of the square roots of the eigenvalues of S1 S2.
        eigenvalues = mpmath.eig(s1 * s2, left=False, right=False)
        trace = sum(mpmath.re(mpmath.sqrt(value)) for value in eigenvalues)
        distance = sum((a - b) ** 2 for a, b in zip(m1, m2, strict=True)) - 2 * trace
        distance += sum(s1[i, i] + s2[i, i] for i in range(4))
        expected = float(distance)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-13)


def test_distance_of_known_gaussians():
    # Between N(0, I) and N(mu, 4 I): |mu|^2 + d (2 - 1)^2; many images leave little bias.
    generator = np.random.default_rng(0)
    shift = np.array([1.0, -2.0, 0.5])
    x = generator.standard_normal((200_000, 3))
    y = shift + 2 * generator.standard_normal((200_000, 3))
    assert frechet_distance(x, y) == pytest.approx(shift @ shift + 3, rel=0.01)


def test_equals_torch_fidelity_on_decaying_spectrum():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = inception_like(0, 120), inception_like(1, 150) * 1.1
    statistics = [fid_features_to_statistics(torch.from_numpy(f)) for f in (x, y)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("count", [3, 40])
def test_identical_sets_are_at_distance_zero(count):
    x = inception_like(2, count)
    assert frechet_distance(x, x) == 0.0
    assert frechet_distance(x, x[::-1]) < 1e-20
    narrow = x[:, :16]
    assert frechet_distance(narrow, narrow) == 0.0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 12),
    m=st.integers(2, 12),
    d=st.integers(1, 8),
    scale=st.floats(0.01, 100),
)
def test_symmetry_translation_rotation_and_scale(seed, n, m, d, scale):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(n, d)), generator.normal(size=(m, d)) + 1
    distance = frechet_distance(x, y)
    assert distance >= 0

    def same(value):
        return value == pytest.approx(distance, rel=1e-8, abs=1e-9)

    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    shift = generator.normal(size=d) * 10
    assert same(frechet_distance(y, x))
    assert same(frechet_distance(x + shift, y + shift))
    assert same(frechet_distance(x @ rotation, y @ rotation))
    assert same(frechet_distance(x * scale, y * scale) / scale**2)
    assert same(linearised_frechet_distance(x, y).value)


@pytest.mark.parametrize(("n", "m", "d"), [(12, 9, 5), (8, 10, 30), (9, 40, 20)])
def test_contributions_are_derivatives_with_respect_to_weights(n, m, d):
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(n, d)) * 2, generator.normal(size=(m, d)) + 0.5

    def weighted(weights):
        """Distance with weights on the images of x: singular values of weighted features."""
        mean = weights @ x
        left = np.sqrt(weights * n / (n - 1))[:, None] * (x - mean)
        right = (y - y.mean(0)) / np.sqrt(m - 1)
        difference = mean - y.mean(0)
        nuclear = linalg.svdvals(left @ right.T).sum()
        return difference @ difference + (left**2).sum() + (right**2).sum() - 2 * nuclear

    result = linearised_frechet_distance(x, y)
    even = np.full(n, 1 / n)
    assert result.value == pytest.approx(weighted(even))
    for image in range(n):
        # Moving weight towards one image, the others keeping their proportions.
        step = 1e-6
        towards = -even + np.eye(n)[image]
        slope = (weighted(even + step * towards) - weighted(even - step * towards)) / (2 * step)
        assert result.left[image] * n == pytest.approx(slope, rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(linearised_frechet_distance(y, x).right, result.left, atol=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(37, 23, 6), (37, 5, 12)])
def test_blocks_do_not_change_the_result(n, m, d, monkeypatch):
    generator = np.random.default_rng(8)
    # float32, and with a column that is a sum of others: the factors have no full rank.
    x, y = (generator.normal(size=(rows, d)).astype(np.float32) for rows in (n, m))
    x[:, 0], y[:, 1] = x[:, 1] + x[:, 2], y[:, 2] - y[:, 3]
    whole = linearised_frechet_distance(x, y)
    monkeypatch.setattr("morphpipe.evaluation.distances.frechet._BLOCK", 4)
    parts = linearised_frechet_distance(x, y)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    np.testing.assert_allclose(parts.left, whole.left, atol=1e-12)
    np.testing.assert_allclose(parts.right, whole.right, atol=1e-12)
    assert frechet_distance(x, y) == pytest.approx(whole.value, rel=1e-12)


GOOD = np.random.default_rng(0).normal(size=(5, 3))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.where(GOOD > 1, np.nan, GOOD), "NaN"),
        (np.where(GOOD > 1, np.inf, GOOD), "infinity"),
        (GOOD[:1], "at least 2"),
        (GOOD[:0], "at least 2"),
        (GOOD[:, :2], "columns"),
        (GOOD[0], "shape"),
        (GOOD[:, :0], "shape"),
        (GOOD.astype(complex), "real numbers"),
        (GOOD.astype(str), "real numbers"),
    ],
)
def test_bad_input_is_no_number(x, message):
    with pytest.raises(DataError, match=message):
        frechet_distance(x, GOOD)
    with pytest.raises(DataError, match=message):
        linearised_frechet_distance(GOOD, x)
