from collections import Counter

import numpy as np
import pytest

from morphpipe.evaluation.core.matching import count_bins, match_sets, matched_rows


def test_every_stratum_is_as_large_on_both_sides():
    generator = np.random.default_rng(0)
    left, right = (generator.integers(0, 6, n).astype(str) for n in (80, 50))
    left[left == "5"], right[right == "0"] = "4", "1"
    ids = [f"l{i}" for i in range(80)], [f"r{i}" for i in range(50)]
    rows = matched_rows(ids[0], left, ids[1], right, seed=1)
    chosen = Counter(left[rows[0]]), Counter(right[rows[1]])
    assert chosen[0] == chosen[1]
    assert chosen[0] == Counter(left) & Counter(right)


def test_who_is_chosen_does_not_depend_on_the_order():
    ids = [f"l{i}" for i in range(40)]
    other = ["r0", "r1", "r2"]
    first = matched_rows(ids, ["x"] * 40, other, ["x"] * 3, seed=1)[0]
    turned = matched_rows(ids[::-1], ["x"] * 40, other, ["x"] * 3, seed=1)[0]
    assert {ids[i] for i in first} == {ids[::-1][i] for i in turned}
    assert set(first) != set(matched_rows(ids, ["x"] * 40, other, ["x"] * 3, seed=2)[0])


def test_nothing_in_common_gives_nothing():
    rows = matched_rows(["a"], ["x"], ["b"], ["y"], seed=0)
    assert [len(part) for part in rows] == [0, 0]


def test_counts_fall_into_bins_of_equal_size():
    counts = np.arange(100)
    left, right = count_bins([counts[::2], counts[1::2]], 10)
    assert np.bincount(np.concatenate([left, right])).tolist() == [10] * 10
    # Equal counts are in one bin, whatever the quantiles.
    left, right = count_bins([np.array([3, 3, 3]), np.array([9])], 10)
    assert len(set(left)) == 1
    assert left[0] < right[0]


def test_cell_counts_agree_within_every_condition(make_features):
    means = {("HUVEC", "control"): 0.0, ("HUVEC", "a"): 1.0}
    real = make_features(means, seed=0, wells=40)
    generated = make_features(means, seed=1, origin="generated", wells=40)
    generator = np.random.default_rng(2)
    # Treated cells are fewer, and generated ones more than real ones.
    base = {"control": 60, "a": 40}
    counts = [
        generator.poisson([base[p] + extra for p in images.column("perturbation")])
        for images, extra in ((real, 0), (generated, 8))
    ]
    rows = match_sets(real, generated, counts=(counts[0], counts[1]), bins=20, seed=3)
    assert 50 < len(rows[0]) == len(rows[1]) < 320
    for name in base:
        means = [
            of[row][images.column("perturbation")[row] == name].mean()
            for of, images, row in zip(counts, (real, generated), rows, strict=True)
        ]
        assert means[0] == pytest.approx(means[1], abs=1.2)
        assert counts[1][generated.column("perturbation") == name].mean() > means[1] + 2


def test_a_column_that_generated_images_leave_empty_does_not_restrict(make_features):
    real = make_features({("HUVEC", "a"): 0.0, ("HUVEC", "b"): 0.0}, seed=0, wells=2)
    generated = make_features({("HUVEC", ""): 0.0}, seed=1, origin="generated", wells=2)
    rows = match_sets(real, generated, seed=0)
    assert [len(part) for part in rows] == [8, 8]
