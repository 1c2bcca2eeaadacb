import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from morphpipe.core.errors import DataError
from morphpipe.evaluation.probes.classifier import cross_validated, probe, split_by_group


def blobs(seed, distance, per_class=60, classes=3, width=5):
    generator = np.random.default_rng(seed)
    centres = distance * np.eye(classes, width)
    labels = np.repeat([f"p{i}" for i in range(classes)], per_class)
    features = np.repeat(centres, per_class, axis=0)
    return features + generator.standard_normal(features.shape), labels


def test_separable_classes_are_told_and_unrelated_labels_are_not():
    x, y = blobs(0, 20)
    result = probe(x, y, *blobs(1, 20), seed=0)
    assert result.accuracy == 1
    assert result.per_class == {"p0": 1.0, "p1": 1.0, "p2": 1.0}
    assert result.converged
    assert (result.n_train, result.n_test) == (180, 180)
    accuracies = [
        probe(*blobs(seed, 0), *blobs(seed + 100, 0), seed=0).accuracy for seed in range(20)
    ]
    assert np.mean(accuracies) == pytest.approx(1 / 3, abs=0.03)


def test_accuracy_of_two_gaussians_is_bayes():
    # Two unit Gaussians at distance 2: the best boundary is right with probability Phi(1).
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 8000)
    x = generator.standard_normal((8000, 1)) + 2 * y[:, None]
    result = probe(x[:4000], y[:4000], x[4000:], y[4000:], seed=0)
    assert result.accuracy == pytest.approx(0.8413, abs=0.02)


def test_standardised_by_the_training_images_alone():
    x, y = blobs(0, 1.5)
    test_x, test_y = blobs(1, 1.5)
    scale, shift = np.array([1e4, 1, 1e-4, 5, 1]), np.array([0, 1e3, 0, 7, 1])
    expected = (
        LogisticRegression(max_iter=5000)
        .fit((x - x.mean(0)) / x.std(0), y)
        .predict((test_x - x.mean(0)) / x.std(0))
    )
    plain = probe(x, y, test_x, test_y, seed=0)
    np.testing.assert_array_equal(plain.correct, expected == test_y)
    moved = probe(x * scale + shift, y, test_x * scale + shift, test_y, seed=0)
    np.testing.assert_array_equal(moved.correct, plain.correct)
    # One test image at a time gives the same answers: nothing is fitted on them.
    one_by_one = [
        probe(x, y, test_x[i : i + 1], test_y[i : i + 1], seed=0).accuracy for i in (0, 70, 150)
    ]
    assert one_by_one == [float(plain.correct[i]) for i in (0, 70, 150)]


def test_chance_is_what_needs_no_looking():
    x, y = blobs(0, 1)
    assert probe(x, y, x, y, seed=0).chance == pytest.approx(1 / 3)
    skewed = np.concatenate([np.arange(60), [60, 61, 120]])
    assert probe(x, y, x[skewed], y[skewed], seed=0).chance == pytest.approx(60 / 63)


def test_a_constant_feature_does_no_harm():
    x, y = blobs(0, 20)
    x = np.hstack([x, np.ones((len(x), 1))])
    assert probe(x, y, x, y, seed=0).accuracy == 1


def test_cross_validation_keeps_wells_together():
    # Features tell the well, not the class: folds of fields look perfect, folds of wells do not.
    generator = np.random.default_rng(0)
    wells = np.repeat(np.arange(20), 8)
    labels = np.repeat(np.arange(20) % 2, 8).astype(str)
    x = 5 * generator.standard_normal((20, 30))[wells] + generator.standard_normal((160, 30))
    assert cross_validated(x, labels, seed=0).mean > 0.95
    assert cross_validated(x, labels, wells, seed=0).mean < 0.75


def test_cross_validation_of_separable_classes():
    x, y = blobs(0, 20)
    result = cross_validated(x, y, np.arange(180) // 3, folds=5, seed=0)
    assert (result.mean, result.std, result.folds) == (1, 0, 5)


def test_split_by_group():
    labels = np.repeat(["a", "b"], 40)
    wells = np.repeat(np.arange(20), 4)
    test = split_by_group(labels, wells, test_fraction=0.3, seed=0)
    assert not set(wells[test]) & set(wells[~test])
    assert test[:40].sum() == test[40:].sum() == 12
    assert split_by_group(labels, seed=0).sum() == 24
    assert split_by_group(["a", "a", "b", "b"], test_fraction=0.01, seed=0).sum() == 2
    np.testing.assert_array_equal(test, split_by_group(labels, wells, seed=0))


X, Y = blobs(0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probe(X, Y, X, np.full(180, "p9"), seed=0), "p9"),
        (lambda: probe(X, np.full(180, "p1"), X, Y, seed=0), "two classes"),
        (lambda: probe(X, Y[:-1], X, Y, seed=0), "training set has 180 images, but 179"),
        (lambda: probe(X, Y, X[:, :2], Y, seed=0), "columns"),
        (lambda: probe(X, Y, np.where(X > 2, np.nan, X), Y, seed=0), "test features hold NaN"),
        (lambda: cross_validated(X, Y, np.arange(180) // 60, seed=0), "5 wells of every class"),
        (lambda: split_by_group(["a", "b"], seed=0), "single well"),
        (lambda: split_by_group(["a", "b", "a", "b"], [0, 0, 1, 1], seed=0), "another class"),
        (lambda: split_by_group(["a", "a"], test_fraction=1.0, seed=0), "between 0 and 1"),
    ],
)
def test_what_cannot_be_probed_is_an_error(call, message):
    with pytest.raises(DataError, match=message):
        call()
