import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.imaging.dihedral import TRANSFORMS, apply, inverse

IMAGE = np.arange(9).reshape(3, 3)


def test_the_convention():
    corners = np.array([[1, 2], [3, 4]])
    assert apply(corners, 0).tolist() == [[1, 2], [3, 4]]
    assert apply(corners, 1).tolist() == [[2, 4], [1, 3]]  # counter-clockwise
    assert apply(corners, 4).tolist() == [[2, 1], [4, 3]]  # left and right
    assert apply(corners, 5).tolist() == [[4, 2], [3, 1]]  # turned first, then flipped


def test_eight_different_images():
    assert len({apply(IMAGE, transform).tobytes() for transform in TRANSFORMS}) == 8


def test_transforms_form_a_group():
    images = {apply(IMAGE, transform).tobytes() for transform in TRANSFORMS}
    for first in TRANSFORMS:
        composed = {apply(apply(IMAGE, first), second).tobytes() for second in TRANSFORMS}
        assert composed == images


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_inverse_undoes_on_both_sides(transform):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    there = apply(images, transform)
    assert there.flags.c_contiguous
    assert there.shape[-2:] == ((5, 4) if transform % 2 else (4, 5))
    np.testing.assert_array_equal(apply(there, inverse(transform)), images)
    np.testing.assert_array_equal(apply(apply(images, inverse(transform)), transform), images)


def test_only_the_last_two_axes_move():
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    for transform in TRANSFORMS:
        np.testing.assert_array_equal(
            apply(images, transform)[1, 2], apply(images[1, 2], transform)
        )


@pytest.mark.parametrize("transform", [-1, 8, 1.5])
def test_other_numbers_are_refused(transform):
    with pytest.raises(DataError, match="0 to 7"):
        apply(IMAGE, transform)
    with pytest.raises(DataError, match="0 to 7"):
        inverse(transform)


def test_a_row_is_no_image():
    with pytest.raises(DataError, match="H, W"):
        apply(np.arange(3), 1)
