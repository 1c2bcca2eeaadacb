import numpy as np
import pytest
from scipy import stats

from morphpipe.evaluation.core.seed_interval import seed_interval


def by_scipy(values):
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def test_samples_of_one_training_are_units():
    found = seed_interval({(0, 0): 1.0, (0, 1): 2.5, (0, 2): 1.7})
    assert found == pytest.approx(by_scipy([1.0, 2.5, 1.7]))


def test_of_several_trainings_each_counts_once():
    found = seed_interval({(0, 0): 1.0, (0, 1): 2.0, (1, 0): 4.0, (1, 1): 6.0, (2, 0): 3.0})
    assert found == pytest.approx(by_scipy([1.5, 5.0, 3.0]))


def test_a_single_value_has_no_scatter():
    assert seed_interval({(0, 0): 1.0}) is None
    assert seed_interval({}) is None


def test_coverage_where_samples_of_a_training_are_alike():
    """Pairs taken for units would cover the true mean far too seldom."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        training = random.normal(0, 1, 4)
        values = {(i, j): training[i] + random.normal(0, 0.2) for i in range(4) for j in range(3)}
        low, high = seed_interval(values)
        inside += low <= 0 <= high
    assert 930 <= inside <= 970
