import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morphpipe.core.errors import DataError
from morphpipe.evaluation.distances.kernel import kernel_distance, linearised_mmd, unbiased_mmd


def draw(seed, count, width=64, shift=0.0):
    return np.random.default_rng(seed).random((count, width)).astype(np.float32) + shift


def torch_fidelity(x, y, subset_size, subsets, seed=2020):
    from torch_fidelity.metric_kid import kid_features_to_metric

    result = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subset_size=subset_size,
        kid_subsets=subsets,
        rng_seed=seed,
        verbose=False,
    )
    return result["kernel_inception_distance_mean"], result["kernel_inception_distance_std"]


def mmd_by_loops(x, y):
    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    xy = sum(kernel(a, b) for a in x for b in y)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


@pytest.mark.parametrize(
    ("n", "m", "size", "subsets"),
    [(120, 150, 100, 100), (200, 130, 50, 20), (300, 400, 10, 30)],
    ids=["one Gram matrix", "small subsets", "a matrix per subset"],
)
def test_equals_torch_fidelity_with_the_same_draws(n, m, size, subsets):
    x, y = draw(0, n, 256), draw(1, m, 256, 0.05)
    result = kernel_distance(x, y, subset_size=size, subsets=subsets)
    mean, std = torch_fidelity(x.astype(np.float64), y.astype(np.float64), size, subsets)
    assert result.mean == pytest.approx(mean, rel=1e-10)
    assert result.std == pytest.approx(std, rel=1e-8)
    # torch-fidelity computes float32 features in float32.
    mean, std = torch_fidelity(x, y, size, subsets)
    assert result.mean == pytest.approx(mean, abs=2e-6)
    assert result.std == pytest.approx(std, abs=2e-6)


def test_the_defaults_are_torch_fidelitys_draws_of_100_from_100():
    x, y = draw(0, 140), draw(1, 140, shift=0.1)
    mean, std = torch_fidelity(x.astype(np.float64), y.astype(np.float64), 100, 100)
    assert kernel_distance(x, y) == pytest.approx((mean, std), rel=1e-8)
    assert kernel_distance(x, y, seed=1) != kernel_distance(x, y)


def test_subsets_as_large_as_the_sets_do_not_vary():
    x, y = draw(0, 60), draw(1, 60, shift=0.1)
    result = kernel_distance(x, y, subset_size=60, subsets=10)
    assert result.std == 0.0
    assert result.mean == unbiased_mmd(x, y)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 5))
def test_unbiased_mmd_equals_its_definition(seed, n, m, d):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(n, d)), generator.normal(size=(m, d)) + 1
    assert unbiased_mmd(x, y) == pytest.approx(mmd_by_loops(x, y), rel=1e-9, abs=1e-9)
    assert unbiased_mmd(y, x) == pytest.approx(unbiased_mmd(x, y), rel=1e-9, abs=1e-9)


def test_pairs_within_conditions_equal_the_definition():
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(7, 3)), generator.normal(size=(9, 3)) + 1
    of_x, of_y = np.array(list("aabbbcc")), np.array(list("aabbbbccc"))

    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    def within(a, of):
        """Mean kernel of each pair of conditions without the images themselves, by their shares."""
        total = 0.0
        for one in "abc":
            for other in "abc":
                pairs = [
                    kernel(a[i], a[j])
                    for i in np.flatnonzero(of == one)
                    for j in np.flatnonzero(of == other)
                    if i != j
                ]
                total += (of == one).mean() * (of == other).mean() * np.mean(pairs)
        return total

    between = np.mean([kernel(a, b) for a in x for b in y])
    expected = within(x, of_x) + within(y, of_y) - 2 * between
    assert linearised_mmd(x, y, (of_x, of_y)).value == pytest.approx(expected, rel=1e-12)
    with pytest.raises(DataError, match="two images of each"):
        linearised_mmd(x, y, (of_x, np.arange(9)))


def test_a_chosen_mix_of_conditions_does_not_pull_the_expectation_below_zero():
    generator = np.random.default_rng(0)
    conditions = np.repeat(np.arange(8), 4)
    means = 2.0 * np.arange(8)[conditions, None] / 8

    def values(of):
        return [
            linearised_mmd(
                *(means + generator.standard_normal((32, 1)) for _ in range(2)),
                None if of is None else (of, of),
            ).value
            for _ in range(400)
        ]

    usual, weighted = values(None), values(conditions)
    assert np.mean(usual) < -3.5 * np.std(usual) / 20
    assert abs(np.mean(weighted)) < 3.5 * np.std(weighted) / 20


def test_expectation_is_zero_for_one_distribution_and_known_for_two():
    # One column: k(a, b) = (a b + 1)^3, so MMD^2 sums squared differences of moments,
    # 3 (m1 - m1')^2 + 3 (m2 - m2')^2 + (m3 - m3')^2. For N(0,1) against N(1/2,1):
    # first moments differ by 1/2, second by 1/4, third by 3/2 + 1/8.
    generator = np.random.default_rng(0)
    same = [unbiased_mmd(*generator.standard_normal((2, 60, 1))) for _ in range(300)]
    assert abs(np.mean(same)) < 3.5 * np.std(same) / 300**0.5
    expected = 3 / 4 + 3 / 16 + (3 / 2 + 1 / 8) ** 2
    shifted = [
        unbiased_mmd(generator.standard_normal((60, 1)), generator.normal(0.5, 1, (60, 1)))
        for _ in range(300)
    ]
    assert abs(np.mean(shifted) - expected) < 3.5 * np.std(shifted) / 300**0.5


def test_blocks_do_not_change_the_result(monkeypatch):
    x, y = draw(0, 37), draw(1, 23)
    whole = linearised_mmd(x, y)
    monkeypatch.setattr("morphpipe.evaluation.distances.kernel._BLOCK", 5)
    parts = linearised_mmd(x, y)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    np.testing.assert_allclose(parts.left, whole.left, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset_size": 41}, r"subsets of 41 images, but the sets have 40 and 50"),
        ({"subset_size": 1}, "at least 2"),
        ({"subset_size": 5, "subsets": 0}, "at least one subset"),
    ],
)
def test_impossible_subsets_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        kernel_distance(draw(0, 40), draw(1, 50), **arguments)


def test_bad_features_are_no_number():
    x = draw(0, 10)
    broken = x.copy()
    broken[3, 4] = np.nan
    for function in (unbiased_mmd, lambda a, b: kernel_distance(a, b, subset_size=5)):
        with pytest.raises(DataError, match="NaN"):
            function(x, broken)
        with pytest.raises(DataError, match="columns"):
            function(x, x[:, :5])
        with pytest.raises(DataError, match="at least 2"):
            function(x, x[:1])
