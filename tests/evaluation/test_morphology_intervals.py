"""Intervals of agreement against exact derivatives, and against the scatter over fresh screens."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.morphology.agreement import feature_correlation_rows
from morphpipe.evaluation.morphology.comparison import mean_count_row
from morphpipe.evaluation.morphology.correlation import (
    correlation_gradients,
    linearised_agreement,
    matrix_agreement,
)
from morphpipe.evaluation.morphology.profile_correlation import profile_correlation_rows
from morphpipe.evaluation.morphology.sets import MorphologySets, MorphologySettings, Side

WIDTH = 12
COLUMNS = {"dataset": "d", "experiment": "e", "generator": "g", "extractor": "c", "view": "v"}


def weighted_agreement(left, right, weights):
    """By numpy's covariances of weighted observations, without our own correlations."""
    matrices = []
    for values, weight in zip((left, right), weights, strict=True):
        covariance = np.cov(values, rowvar=False, aweights=weight)
        scale = np.sqrt(np.diag(covariance))
        matrices.append(covariance / np.outer(scale, scale))
    return matrix_agreement(*matrices)


def test_contributions_to_the_agreement_are_its_derivatives_by_the_weights():
    generator = np.random.default_rng(0)
    shared = generator.normal(size=(3, 5))
    left, right = (
        generator.normal(size=(n, 3)) @ shared + generator.normal(size=(n, 5)) for n in (9, 12)
    )
    found = linearised_agreement(left, right)
    step = 1e-5
    for side, number in enumerate((9, 12)):
        for row in range(number):
            moved = []
            for sign in (1, -1):
                weights = [np.ones(9), np.ones(12)]
                weights[side][row] += sign * step
                moved.append(weighted_agreement(left, right, weights))
            for name in ("pearson", "rms"):
                slope = (getattr(moved[0], name) - getattr(moved[1], name)) / (2 * step)
                contributions = getattr(found, name)
                mine = (contributions.left, contributions.right)[side][row]
                assert mine == pytest.approx(slope, abs=1e-8), (side, row, name)


def test_a_feature_that_is_constant_contributes_nothing():
    generator = np.random.default_rng(1)
    left, right = generator.normal(size=(8, 5)), generator.normal(size=(8, 5))
    without = linearised_agreement(left[:, :4], right[:, :4])
    left[:, 4] = 0.3
    found = linearised_agreement(left, right)
    for one, other in zip(found, without, strict=True):
        assert one.value == pytest.approx(other.value)
        np.testing.assert_allclose(one.left, other.left, atol=1e-12)
        np.testing.assert_allclose(one.right, other.right, atol=1e-12)


def test_gradients_of_a_correlation_are_those_of_numpys():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 6))
    gradients = correlation_gradients(x, y)
    for side, gradient in enumerate(gradients):
        for place in range(6):
            moved = []
            for sign in (1, -1):
                pair = [x.copy(), y.copy()]
                pair[side][place] += sign * 1e-6
                moved.append(np.corrcoef(*pair)[0, 1])
            assert gradient[place] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-8)


def features(generator, origin, wells, fields):
    """Three conditions with means of their own; wells differ, and so do fields within them."""
    means = np.random.default_rng(5).normal(size=(3, WIDTH))
    loadings = np.random.default_rng(6).normal(size=(2, WIDTH))
    rows, values = [], []
    for condition, mean in enumerate(means):
        for well in range(wells):
            of_well = mean + generator.normal(size=2) @ loadings
            for field in range(fields):
                real = origin == "real"
                rows.append(
                    {
                        "field_id": f"{origin}-{condition}-{well}-{field}",
                        "cell_type": "U2OS",
                        "perturbation": f"p{condition}",
                        "plate": "1" if real else None,
                        "batch": "b" if real else None,
                        "well": f"{condition}-{well}" if real else None,
                        "origin": origin,
                    }
                )
                values.append(of_well + generator.normal(size=WIDTH))
    keys = pd.DataFrame(rows).reindex(
        columns=[*rows[0], "control", "moa", "training_seed", "sampling_seed"]
    )
    images = FeatureSet(keys, np.array(values, np.float32), "c", "v")
    return Side(images, images, np.full(len(images), 50))


def new_sets(seed, wells=10):
    generator = np.random.default_rng([9, seed])
    return MorphologySets(
        features(generator, "real", wells, 2),
        # Each generated field is a unit of its own.
        features(generator, "generated", 2 * wells, 1),
        None,
        np.arange(6),
        False,
        COLUMNS,
        MorphologySettings(5, "pearson", "mean", [42], 10, 2020),
    )


@pytest.fixture(scope="module")
def screens():
    """Rows of many screens from the same distribution, by metric and comparison."""
    collected = {}
    for seed in range(120):
        sets = new_sets(seed)
        for row in profile_correlation_rows(sets) + feature_correlation_rows(sets):
            if row["perturbation"] in ("all", "p0") and row["comparison"] != "shuffled-real":
                key = (row["metric"], row["comparison"], row["perturbation"], row["cell_type"])
                collected.setdefault(key, []).append((row["value"], row["ci_low"], row["ci_high"]))
    return {key: np.array(values) for key, values in collected.items()}


@pytest.mark.parametrize("metric", ["profile_correlation", "feature_correlation_agreement"])
@pytest.mark.parametrize("comparison", ["generated-real", "real-real"])
def test_intervals_are_as_wide_as_values_scatter(screens, metric, comparison):
    """To 30 %: from 120 screens the scatter itself is known to 7 %."""
    value, low, high = screens[(metric, comparison, "all", "all")].T
    # Some 27 degrees of freedom and more: two standard errors to either side.
    assert ((high - low) / 4.1).mean() == pytest.approx(value.std(), rel=0.3)
    covered = ((low <= value.mean()) & (value.mean() <= high)).mean()
    assert covered > 0.88


def test_a_condition_has_an_interval_of_its_own_wells(screens):
    value, low, high = screens[("profile_correlation", "generated-real", "p0", "U2OS")].T
    assert ((low <= value.mean()) & (value.mean() <= high)).mean() > 0.85
    assert (low >= -1).all()
    assert (high <= 1).all()


def test_without_two_wells_there_is_no_interval_and_a_reason():
    sets = new_sets(0, wells=1)
    rows = profile_correlation_rows(sets)
    (row,) = [
        r
        for r in rows
        if (r["comparison"], r["perturbation"], r["cell_type"])
        == ("generated-real", "p0", "U2OS")
    ]  # fmt: skip
    assert row["value"] is not None
    assert row["ci_low"] is None
    assert "single well" in row["settings"]


def test_mean_cell_count_has_students_interval_where_each_field_is_a_unit():
    sets = new_sets(0)
    side = sets.generated
    counts = np.random.default_rng(3).poisson(40, len(side))
    one_condition = side.images.keys.assign(perturbation="p0")
    images = FeatureSet(one_condition, side.images.features, "c", "v")
    row = mean_count_row(sets, Side(images, images, counts), {"comparison": "generated"})
    expected = stats.ttest_1samp(counts, 0).confidence_interval(0.95)
    assert row["value"] == pytest.approx(counts.mean())
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.low, expected.high))
