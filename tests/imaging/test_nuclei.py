import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.imaging.crop_orders import CROP_ORDERS
from morphpipe.imaging.nuclei import (
    crop_nuclei,
    in_order,
    nucleus_centres,
    segment_nuclei,
)
from morphpipe.imaging.rgb import RXRX1_COLOURS

DISCS = [(40, 50, 10), (40, 150, 6), (120, 90, 14), (190, 30, 5)]


def discs(shape=(256, 200), places=DISCS, bright=200, dark=20):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    dna = np.full(shape, dark, np.uint16)
    for row, column, radius in places:
        dna[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = bright
    return dna


def brute_force_otsu(values):
    """The split of whole numbers that makes the variance within both classes least."""
    levels = np.unique(values)[:-1]
    within = [
        np.mean(values <= level) * values[values <= level].var()
        + np.mean(values > level) * values[values > level].var()
        for level in levels
    ]
    return levels[int(np.argmin(within))]


def test_discs_are_found_at_their_centres_with_their_areas():
    labels = segment_nuclei(discs(), sigma=0)
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(labels > 0, discs() == 200)
    centres = nucleus_centres(labels)
    assert centres.dtype == np.int64
    np.testing.assert_array_equal(centres, [disc[:2] for disc in DISCS])


def test_smoothed_discs_in_noise_keep_their_centres_and_sizes():
    dna = discs().astype(float) + np.random.default_rng(0).normal(0, 15, (256, 200))
    labels = segment_nuclei(dna)
    np.testing.assert_allclose(nucleus_centres(labels), [d[:2] for d in DISCS], atol=1)
    areas = np.bincount(labels[labels > 0])[1:]
    # The discs are numbered from above; a pixel at the rim is a tenth of a small disc's radius.
    np.testing.assert_allclose(areas, [np.pi * r**2 for *_, r in DISCS], rtol=0.15)


def test_the_threshold_is_otsus():
    generator = np.random.default_rng(1)
    dna = generator.normal(60, 12, (64, 64)).clip(0).astype(np.uint8)
    dna[20:40, 20:40] = generator.normal(140, 20, (20, 20)).clip(0, 255).astype(np.uint8)
    # min_area 1 and no smoothing leave the threshold itself, but for holes that are filled.
    found = segment_nuclei(dna, sigma=0, min_area=1) > 0
    threshold = brute_force_otsu(dna.astype(float))
    assert (found | ~(dna > threshold)).all()
    filled = found & ~(dna > threshold)
    assert filled.sum() < 10


def test_holes_are_filled_and_areas_limited():
    rows, columns = np.mgrid[:100, :100]
    distance = np.hypot(rows - 30, columns - 30)
    dna = np.where((distance <= 12) & (distance >= 6), 200, 10).astype(np.uint8)
    dna[80:83, 80:83] = 200  # 9 pixels
    labels = segment_nuclei(dna, sigma=0)
    assert (labels[distance < 6] == 1).all()
    assert labels.max() == 1
    assert segment_nuclei(dna, sigma=0, min_area=9).max() == 2
    assert segment_nuclei(dna, sigma=0, min_area=10).max() == 1
    only_small = segment_nuclei(dna, sigma=0, min_area=9, max_area=9)
    np.testing.assert_array_equal(nucleus_centres(only_small), [[81, 81]])
    assert only_small.max() == 1


def test_touching_nuclei_are_one():
    touching = segment_nuclei(discs(places=[(60, 60, 10), (60, 80, 10)]), sigma=0)
    assert touching.max() == 1
    np.testing.assert_array_equal(nucleus_centres(touching), [[60, 70]])
    diagonal = np.zeros((40, 40), np.uint8)
    diagonal[5:15, 5:15] = diagonal[15:25, 15:25] = 100
    assert segment_nuclei(diagonal, sigma=0).max() == 1


def test_centres_are_sorted_by_row_then_column_whatever_the_numbers():
    labels = np.zeros((30, 30), int)
    labels[2:5, 20:23] = 7
    labels[2:5, 2:5] = 9
    labels[20:21, 1:4] = 1
    np.testing.assert_array_equal(nucleus_centres(labels), [[3, 3], [3, 21], [20, 2]])


def test_a_constant_field_has_no_nuclei():
    labels = segment_nuclei(np.full((50, 60), 7, np.uint16))
    assert not labels.any()
    centres = nucleus_centres(labels)
    assert centres.shape == (0, 2)
    crops, kept = crop_nuclei(np.zeros((3, 50, 60), np.uint8), centres, size=16)
    assert crops.shape == (0, 3, 16, 16)
    assert kept.shape == (0,)


@pytest.mark.parametrize("dna", [np.zeros((1, 5, 5)), np.full((5, 5), np.nan), np.zeros((0, 4))])
def test_what_is_no_plane_is_refused(dna):
    with pytest.raises(DataError, match=r"\[H, W\]"):
        segment_nuclei(dna)


def test_crops_hold_the_centre_in_the_middle_and_borders_are_left_out():
    stack = np.random.default_rng(2).integers(0, 256, (2, 120, 140), dtype=np.uint8)
    centres = np.array([[48, 48], [47, 60], [72, 92], [73, 70], [60, 93], [60, 47]])
    crops, kept = crop_nuclei(stack, centres)
    # A square of 96 from centre - 48 to centre + 47 fits for rows 48 to 72 and columns 48 to 92.
    np.testing.assert_array_equal(kept, [True, False, True, False, False, False])
    assert crops.shape == (2, 2, 96, 96)
    assert crops.dtype == np.uint8
    for crop, (row, column) in zip(crops, centres[kept], strict=True):
        np.testing.assert_array_equal(crop[:, 48, 48], stack[:, row, column])
        np.testing.assert_array_equal(
            crop, stack[:, row - 48 : row + 48, column - 48 : column + 48]
        )


def test_an_odd_crop_is_symmetric():
    stack = np.random.default_rng(3).integers(0, 256, (1, 9, 9), dtype=np.uint8)
    crops, kept = crop_nuclei(stack, np.array([[4, 4], [2, 2], [1, 4]]), size=5)
    np.testing.assert_array_equal(kept, [True, True, False])
    np.testing.assert_array_equal(crops[0], stack[:, 2:7, 2:7])


def test_a_field_smaller_than_a_crop_is_refused():
    with pytest.raises(DataError, match="96 pixels"):
        crop_nuclei(np.zeros((2, 95, 200), np.uint8), np.array([[40, 40]]))


def test_impas_orders():
    # RxRx1's channels are numbered w1 to w6 in the table of colours; IMPA turns them round.
    assert CROP_ORDERS["impa-rxrx1"] == tuple(c.channel for c in RXRX1_COLOURS)[::-1]
    assert CROP_ORDERS["impa-bbbc021"] == ("actin", "tubulin", "DNA")
    assert CROP_ORDERS["impa-cpg0000"] == ("Mito", "AGP", "ER", "RNA", "DNA")


@pytest.mark.parametrize("leading", [(), (4,)])
def test_in_order_goes_by_name(leading):
    names = ["DNA", "tubulin", "actin", "brightfield"]
    stack = np.broadcast_to(np.arange(4)[:, None, None], (*leading, 4, 5, 6))
    ordered = in_order(stack, names, CROP_ORDERS["impa-bbbc021"])
    assert ordered.shape == (*leading, 3, 5, 6)
    np.testing.assert_array_equal(ordered[..., 0, 0], np.broadcast_to([2, 1, 0], (*leading, 3)))


def test_in_order_names_what_is_missing_and_refuses_wrong_names():
    stack = np.zeros((2, 5, 6))
    with pytest.raises(DataError, match="needs actin, tubulin, but the channels are DNA, ER"):
        in_order(stack, ["DNA", "ER"], CROP_ORDERS["impa-bbbc021"])
    for names in (["DNA"], ["DNA", "DNA"], ["DNA", "ER", "actin"]):
        with pytest.raises(DataError, match="one name for each channel"):
            in_order(stack, names, ["DNA"])
