import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.imaging.resize import centre_crop, squash, tiles


def numbered(channels, height, width, dtype=np.uint16):
    return np.arange(channels * height * width, dtype=dtype).reshape(channels, height, width)


@pytest.mark.parametrize(
    ("shape", "size", "top", "left"), [((9, 12), 4, 2, 4), ((10, 5), 5, 2, 0), ((6, 6), 6, 0, 0)]
)
def test_centre_crop_by_hand(shape, size, top, left):
    stack = numbered(2, *shape)
    crop = centre_crop(stack, size)
    np.testing.assert_array_equal(crop, stack[:, top : top + size, left : left + size])
    assert crop.dtype == stack.dtype
    assert crop.flags.c_contiguous


@pytest.mark.parametrize("cut", [centre_crop, tiles])
@pytest.mark.parametrize("size", [0, 9, 20])
def test_a_field_that_is_too_small_is_refused(cut, size):
    with pytest.raises(DataError, match="8 x 30"):
        cut(numbered(1, 8, 30), size)


@pytest.mark.parametrize("resize", [centre_crop, tiles, squash])
def test_a_plane_is_no_field(resize):
    with pytest.raises(DataError, match=r"\[C, H, W\]"):
        resize(np.zeros((8, 8), np.uint8), 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_squash_by_whole_factors_is_the_mean_of_blocks(dtype):
    stack = np.random.default_rng(0).integers(0, 256, (3, 24, 40)).astype(dtype)
    blocks = stack.reshape(3, 8, 3, 8, 5).astype(float).mean(axis=(2, 4))
    squashed = squash(stack, 8)
    assert squashed.dtype == dtype
    if dtype == np.float32:
        np.testing.assert_allclose(squashed, blocks, rtol=1e-6)
    else:
        # No mean of 15 whole numbers is halfway between two.
        np.testing.assert_array_equal(squashed, np.rint(blocks))


@pytest.mark.parametrize(("shape", "size"), [((100, 125), 64), ((51, 77), 32), ((40, 90), 64)])
def test_squash_keeps_the_mean(shape, size):
    stack = np.random.default_rng(1).integers(0, 65536, (2, *shape), dtype=np.uint16)
    squashed = squash(stack, size)
    assert squashed.shape == (2, size, size)
    # Rounding errors of at most a half are as often up as down.
    np.testing.assert_allclose(squashed.mean(axis=(1, 2)), stack.mean(axis=(1, 2)), atol=0.05)


def test_squash_does_not_alias():
    # Stripes of one pixel are finer than the new pixels, and become their mean everywhere.
    stack = np.zeros((1, 120, 150), np.uint8)
    stack[:, :, ::2] = 200
    squashed = squash(stack, 25)
    assert squashed.min() == squashed.max() == 100


def test_squash_keeps_orientation_and_constants():
    stack = np.zeros((1, 90, 60), np.uint8)
    stack[0, :30, 40:] = 255
    squashed = squash(stack, 30)
    assert (squashed[0, :10, 20:] == 255).all()
    assert squashed.astype(int).sum() == 255 * 100
    full = np.full((2, 33, 47), 65535, np.uint16)
    assert (squash(full, 20) == 65535).all()


def test_squash_to_the_same_size_changes_nothing():
    stack = numbered(2, 16, 16)
    np.testing.assert_array_equal(squash(stack, 16), stack)


def test_squash_enlarges_by_repeating():
    stack = numbered(1, 4, 4)
    np.testing.assert_array_equal(squash(stack, 8), stack.repeat(2, axis=1).repeat(2, axis=2))


def test_squash_refuses_types_and_sizes():
    with pytest.raises(DataError, match="int32"):
        squash(np.zeros((1, 8, 8), np.int32), 4)
    with pytest.raises(DataError, match="0 pixels"):
        squash(np.zeros((1, 8, 8), np.uint8), 0)


def test_tiles_are_a_centred_grid_without_overlap():
    stack = numbered(2, 11, 18)
    cut = tiles(stack, 4)
    assert [(row, column) for row, column, _ in cut] == [(r, c) for r in range(2) for c in range(4)]
    # 3 rows are left over, 1 above and 2 below; 2 columns, 1 on either side.
    whole = np.zeros_like(stack[:, :8, :16])
    for row, column, tile in cut:
        whole[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = tile
    np.testing.assert_array_equal(whole, stack[:, 1:9, 1:17])


def test_tiles_do_not_keep_the_field():
    stack = numbered(1, 4, 4)
    (_, _, tile), *_ = tiles(stack, 2)
    assert not np.shares_memory(tile, stack)
    assert tile.dtype == stack.dtype
