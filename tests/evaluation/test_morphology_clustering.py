import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

from morphpipe.core.errors import DataError
from morphpipe.evaluation.morphology.clustering import (
    adjusted_rand,
    cluster_by_label,
    cluster_transferred,
)


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_rand_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    left = generator.integers(0, 1 + seed % 7, 50)
    right = np.where(generator.random(50) < 0.5, left, generator.integers(0, 4, 50))
    assert adjusted_rand(left, right) == pytest.approx(adjusted_rand_score(left, right))


def blobs(distance, *, seed, number=20, kinds=4):
    generator = np.random.default_rng(seed)
    labels = np.repeat(list("abcd")[:kinds], number)
    centres = distance * np.random.default_rng(0).normal(size=(kinds, 10))
    values = np.repeat(centres, number, axis=0) + generator.normal(size=(len(labels), 10))
    return values, labels


def test_clear_groups_are_found():
    values, labels = blobs(5, seed=1)
    result = cluster_by_label(values, labels, seed=0)
    assert result.adjusted_rand == 1
    assert result.chance_95 < 0.1
    assert result.silhouette == pytest.approx(silhouette_score(values, labels))
    assert result.clusters == 4


def test_no_groups_are_at_the_level_of_chance():
    below = []
    for seed in range(40):
        values, labels = blobs(0, seed=seed)
        result = cluster_by_label(values, labels, seed=seed)
        assert abs(result.adjusted_rand) < 0.2
        below.append(result.adjusted_rand <= result.chance_95)
    assert np.mean(below) > 0.8


def _mutual_information(labels, clusters):
    """2 I(L; C) / (H(L) + H(C)), from the table of counts."""
    joint = contingency_matrix(labels, clusters) / len(labels)

    def entropy(p):
        return -sum(x * np.log(x) for x in p.ravel() if x > 0)

    of_labels, of_clusters = entropy(joint.sum(1)), entropy(joint.sum(0))
    return 2 * (of_labels + of_clusters - entropy(joint)) / (of_labels + of_clusters)


def test_mutual_information_is_averaged_over_seeds():
    values, labels = blobs(0.6, seed=1)
    expected = [
        _mutual_information(labels, KMeans(4, n_init=10, random_state=seed).fit_predict(values))
        for seed in (42, 43, 44, 45, 46)
    ]
    assert 0.2 < np.mean(expected) < 0.9
    result = cluster_by_label(values, labels, seed=0)
    assert result.mutual_information == pytest.approx(np.mean(expected))
    one = cluster_by_label(values, labels, seed=0, seeds=[43])
    assert one.mutual_information == pytest.approx(expected[1])
    itself = cluster_transferred(values, labels, values, labels, seed=0)
    assert itself.mutual_information == pytest.approx(np.mean(expected))


def test_generated_images_fall_into_the_clusters_of_real_ones():
    real, labels = blobs(5, seed=1)
    generated, _ = blobs(5, seed=2)
    assert cluster_transferred(real, labels, generated, labels, seed=0).adjusted_rand == 1
    # All generated images alike: they cluster by nothing.
    collapsed = np.repeat(real[:1], len(labels), axis=0)
    collapsed += 1e-3 * np.random.default_rng(3).normal(size=collapsed.shape)
    result = cluster_transferred(real, labels, collapsed, labels, seed=0)
    assert result.adjusted_rand == pytest.approx(0, abs=0.05)


def test_labels_that_cannot_be_clustered_are_said():
    values, labels = blobs(1, seed=0)
    with pytest.raises(DataError, match="single label"):
        cluster_by_label(values, np.full(len(labels), "a"), seed=0)
    with pytest.raises(DataError, match="none repeats"):
        cluster_by_label(values, np.arange(len(labels)), seed=0)
