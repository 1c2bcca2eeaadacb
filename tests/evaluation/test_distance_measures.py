import numpy as np
import pytest

from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.evaluation.distances.kernel import kernel_distance, linearised_mmd, unbiased_mmd
from morphpipe.evaluation.distances.measures import Frechet, Kernel, distance_names

X, Y = np.random.default_rng(0).normal(size=(2, 40, 6))

DEFAULT = {"subset_size": 100, "subsets": 100, "seed": 2020}
ONE = np.full(40, "a"), np.full(40, "a")


@pytest.mark.parametrize("extractor", ["inception", "Inception v3"])
def test_only_inception_gives_fid_and_kid(extractor):
    assert distance_names(extractor) == ("FID", "KID")
    assert Frechet(extractor).relative_name == "relative_FID"
    assert Frechet("ResNet-18").name == "frechet_distance"
    assert Frechet("ResNet-18").relative_name == "relative_frechet_distance"
    assert distance_names("inception-like")[1] == "kernel_distance"
    assert Kernel("inception", **DEFAULT).relative_name is None


def test_frechet_measures_the_frechet_distance():
    result, notes = Frechet("test").measure(X, Y, ONE)
    assert result.value == pytest.approx(frechet_distance(X, Y), rel=1e-12)
    assert notes == {}


def test_kernel_says_how_it_was_estimated():
    result, notes = Kernel("test", subset_size=30, subsets=20, seed=4).measure(X, Y, ONE)
    expected = kernel_distance(X, Y, subset_size=30, subsets=20, seed=4)
    assert result.value == expected.mean
    assert notes == {
        "estimator": "mean over subsets",
        "subset_size": 30,
        "subsets": 20,
        "subset_seed": 4,
        "subset_standard_deviation": expected.std,
    }


def test_too_few_images_for_a_subset_give_the_mmd_over_all_without_a_deviation():
    result, notes = Kernel("test", **DEFAULT).measure(X, Y, ONE)
    assert result.value == unbiased_mmd(X, Y)
    assert notes == {"estimator": "unbiased MMD over all images"}


def test_pairs_of_one_condition_count_by_their_share_in_the_mix():
    mix = np.resize(list("abcd"), 40), np.resize(list("abcde"), 40)
    result, notes = Kernel("test", **DEFAULT | {"subset_size": 30}).measure(X, Y, mix)
    assert result.value == linearised_mmd(X, Y, mix).value
    assert notes == {"estimator": "unbiased MMD over all images, within and between conditions"}


def test_a_condition_of_a_single_image_leaves_the_usual_estimate():
    result, notes = Kernel("test", **DEFAULT).measure(X, Y, (np.array(["a", *"b" * 39]), ONE[1]))
    assert result.value == unbiased_mmd(X, Y)
    assert notes == {"estimator": "unbiased MMD over all images"}
