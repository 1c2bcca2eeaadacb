import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from morphpipe.core.errors import DataError
from morphpipe.evaluation.coverage.nearest_training import (
    memorised_below,
    nearest,
    probability_nearer,
)


def test_nearest_by_brute_force():
    generator = np.random.default_rng(0)
    images, training = generator.standard_normal((20, 4)), generator.standard_normal((30, 4))
    training[7] = images[3]
    distances, nearness, positions = nearest(images, training)
    apart = cdist(images, training)
    ordered = np.sort(apart, axis=1)
    assert nearness == pytest.approx(ordered[:, 0] / ordered[:, 1:].mean(axis=1))
    assert distances == pytest.approx(apart.min(axis=1))
    assert positions.tolist() == apart.argmin(axis=1).tolist()
    assert distances[3] == nearness[3] == 0
    with pytest.raises(DataError, match="two training images"):
        nearest(images, training[:1])


def test_probability_nearer_is_mann_whitney():
    generator = np.random.default_rng(1)
    left, right = generator.integers(0, 9, 30), generator.integers(2, 12, 20)
    expected = mannwhitneyu(right, left).statistic / (30 * 20)
    assert probability_nearer(left, right) == pytest.approx(expected)
    assert probability_nearer([0, 0], [1, 2, 3]) == 1
    assert probability_nearer([1, 2], [1, 2]) == 0.5


def test_threshold_knows_what_to_expect():
    # Of n + 1 exchangeable values each is the smallest as often.
    few = memorised_below(np.arange(1, 20), 1)
    assert (few.value, few.expected) == (1, 1 / 20)
    many = memorised_below(np.arange(1, 1000), 1)
    assert (many.value, many.expected) == (9, 9 / 1000)
    generator = np.random.default_rng(2)
    drawn = generator.standard_normal((4000, 20))
    below = [row[0] < memorised_below(row[1:], 1).value for row in drawn]
    assert np.mean(below) == pytest.approx(few.expected, abs=0.012)
