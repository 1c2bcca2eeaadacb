import numpy as np
import pytest
from sklearn.metrics import f1_score

from morphpipe.evaluation.probes.macro_f1 import macro_f1


def drawn(generator, wells=40, fields=3, classes=4):
    """A classifier that is right in wells that it likes."""
    labels, told, groups = [], [], []
    for well in range(wells):
        likes = generator.random()
        for _ in range(fields):
            right = generator.random() < 0.3 + 0.6 * likes
            labels.append(well % classes)
            told.append(labels[-1] if right else generator.integers(classes + 1))
            groups.append(well)
    return np.array(labels), np.array(told), np.array(groups)


def test_value_is_scikit_learns():
    labels, told, wells = drawn(np.random.default_rng(0))
    # A class that is told and never there has no F1 of its own.
    assert 4 in told
    expected = f1_score(labels, told, labels=np.unique(labels), average="macro")
    assert macro_f1(labels, told, wells).value == pytest.approx(expected, abs=1e-12)


def test_interval_is_that_of_scikit_learns_derivatives_by_weights():
    """Each image by itself, one class: the variance is the sum of squared derivatives."""
    labels, told, _ = drawn(np.random.default_rng(1), wells=30, fields=1, classes=1)
    slopes = []
    for row in range(30):
        moved = []
        for step in (1e-6, -1e-6):
            weights = np.ones(30)
            weights[row] += step
            moved.append(f1_score(labels, told, labels=[0], average="macro", sample_weight=weights))
        slopes.append((moved[0] - moved[1]) / 2e-6)
    variance = np.sum(np.square(slopes)) * 30 / 29
    interval = macro_f1(labels, told, None).interval
    # 2.045 is the 97.5 % point of Student's t with 29 degrees of freedom.
    assert interval.high - interval.low == pytest.approx(2 * 2.0452 * variance**0.5, rel=1e-3)


def test_interval_is_as_wide_as_values_scatter():
    found = [macro_f1(*drawn(np.random.default_rng([2, seed]))) for seed in range(300)]
    values = np.array([one.value for one in found])
    widths = np.array([one.interval.high - one.interval.low for one in found])
    assert (widths / 4.05).mean() == pytest.approx(values.std(), rel=0.15)
    low, high = np.array([one.interval for one in found]).T
    assert ((low <= values.mean()) & (values.mean() <= high)).mean() > 0.9


def test_where_nothing_varies_there_is_no_interval():
    labels = np.repeat(["a", "b"], 6)
    assert macro_f1(labels, labels, None) == (1.0, None)
    assert macro_f1(labels, np.roll(labels, 2), np.zeros(12)).interval is None
