import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from morphpipe.core.errors import DataError
from morphpipe.evaluation.robustness.batch_correction import (
    centre_and_scale,
    corrected,
    typical_variation_normalise,
)


@pytest.fixture
def screen():
    """Two batches that differ by a shift and a scale; one direction is a true effect."""
    generator = np.random.default_rng(0)
    batches = np.repeat(["x", "y"], 60)
    control = np.tile(np.repeat([True, False], 30), 2)
    features = generator.standard_normal((120, 5)) @ generator.standard_normal((5, 5))
    features[~control, 0] += 3
    features[batches == "y"] = features[batches == "y"] * 2 + 10
    return features, control, batches


def test_centre_and_scale_is_a_scaler_per_batch(screen):
    features, control, batches = screen
    found = centre_and_scale(features, control, batches)
    for batch in ("x", "y"):
        rows = batches == batch
        scaler = StandardScaler().fit(features[rows & control])
        assert found[rows] == pytest.approx(scaler.transform(features[rows]))


def test_silent_features_do_not_drown_the_others(screen):
    features, control, batches = screen
    features[:, 0] = np.where(control, 1e-9 * features[:, 0], features[:, 0])
    found = centre_and_scale(features, control, batches)
    assert np.abs(found[:, 0]).max() < 50


def test_typical_variation_follows_its_steps(screen):
    features, control, batches = screen
    pca = PCA(whiten=True, svd_solver="full").fit(features[control])
    steps = centre_and_scale(pca.transform(features), control, batches)

    def covariance(rows):
        return np.cov(steps[rows], rowvar=False) + 0.5 * np.eye(5)

    expected = np.empty_like(steps)
    for batch in ("x", "y"):
        rows = batches == batch
        expected[rows] = (
            steps[rows]
            @ fractional_matrix_power(covariance(rows & control), -0.5)
            @ fractional_matrix_power(covariance(control), 0.5)
        )
    found = typical_variation_normalise(features, control, batches)
    # Principal axes have no sign; distances do not depend on it.
    assert found @ found.T == pytest.approx(expected @ expected.T)


@pytest.mark.parametrize("correction", ["centre-scale", "tvn"])
def test_batches_agree_after_correction(screen, correction):
    features, control, batches = screen

    def apart(values, rows):
        one, other = (values[rows & (batches == batch)].mean(axis=0) for batch in ("x", "y"))
        return np.linalg.norm(one - other)

    found = corrected(features, control, batches, correction)
    assert apart(found, control) == pytest.approx(0, abs=1e-9)
    assert apart(found, ~control) < 0.3 * apart(features, ~control)
    assert corrected(features, control, batches, "none") is features


def test_batches_without_controls_are_named(screen):
    features, control, batches = screen
    with pytest.raises(DataError, match="batch y has 0 negative controls"):
        centre_and_scale(features, control & (batches == "x"), batches)
    with pytest.raises(DataError, match="0 negative controls"):
        typical_variation_normalise(features, np.zeros(120, bool), batches)
