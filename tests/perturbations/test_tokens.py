import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.perturbations.tokens import centre_pad


@pytest.mark.parametrize("width", [512, 173, 767, 768, 1])
def test_numpy_pads_the_same(width):
    embedding = np.random.default_rng(0).standard_normal(width)
    missing = 768 - width
    expected = np.pad(embedding, (missing // 2, missing - missing // 2), constant_values=1.0)
    token = centre_pad(embedding)
    assert token.dtype == np.float32
    np.testing.assert_array_equal(token, expected.astype(np.float32))


def test_other_width_and_value():
    np.testing.assert_array_equal(centre_pad(np.array([5.0]), 4, -2), [-2, 5, -2, -2])


@pytest.mark.parametrize(
    "embedding", [np.zeros(769), np.zeros((2, 3)), np.array([np.nan]), np.array([np.inf])]
)
def test_bad_embeddings_are_refused(embedding):
    with pytest.raises(DataError):
        centre_pad(embedding)
