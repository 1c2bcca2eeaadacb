import numpy as np
import pytest
from scipy import stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.morphology.differences import (
    corrected,
    difference_table,
    feature_differences,
    rank_test,
)
from morphpipe.tables.schemas import DIFFERENCE_SCHEMA


def brute_force_delta(left, right):
    wins = sum(float(a > b) - float(a < b) for a in left for b in right)
    return wins / (len(left) * len(right))


def test_cliffs_delta_by_comparing_all_pairs():
    generator = np.random.default_rng(0)
    # Whole numbers make ties.
    left, right = generator.integers(0, 8, (30, 12)), generator.integers(1, 9, (21, 12))
    result = rank_test(left, right)
    expected = [brute_force_delta(left[:, i], right[:, i]) for i in range(12)]
    assert result.cliffs_delta == pytest.approx(expected)
    assert all(value < 0 for value in expected)


def test_delta_of_two_normals_is_known():
    generator = np.random.default_rng(1)
    shift = 0.8
    result = rank_test(generator.normal(shift, 1, (4000, 4)), generator.normal(size=(4000, 4)))
    # P(X > Y) - P(X < Y) = 2 Phi(shift / sqrt 2) - 1.
    expected = 2 * stats.norm.cdf(shift / 2**0.5) - 1
    assert result.cliffs_delta == pytest.approx(expected, abs=0.04)


def test_extremes_and_constants():
    left = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    result = rank_test(left + np.array([10.0, 0.0]), left)
    assert result.cliffs_delta.tolist() == [1.0, 0.0]
    assert result.p_value[1] == 1.0


def test_missing_values_are_left_out_feature_by_feature():
    generator = np.random.default_rng(2)
    left, right = generator.normal(size=(20, 4)), generator.normal(size=(15, 4))
    left[:5, 1] = np.nan
    right[:, 2] = np.nan
    right[1:, 3] = np.nan
    result = rank_test(left, right)
    for column, rows in ((0, slice(None)), (1, slice(5, None))):
        theirs = stats.mannwhitneyu(left[rows, column], right[:, column], method="asymptotic")
        assert result.p_value[column] == pytest.approx(theirs.pvalue)
        delta = brute_force_delta(left[rows, column], right[:, column])
        assert result.cliffs_delta[column] == pytest.approx(delta)
    assert np.isnan(result.p_value[2:]).all()
    assert np.isnan(result.cliffs_delta[2:]).all()


def test_many_features_are_as_one_by_one():
    generator = np.random.default_rng(3)
    left, right = generator.normal(size=(12, 600)), generator.normal(size=(9, 600))
    whole = rank_test(left, right)
    for column in (0, 255, 256, 599):
        alone = rank_test(left[:, [column]], right[:, [column]])
        assert whole.cliffs_delta[column] == alone.cliffs_delta[0]
        assert whole.p_value[column] == alone.p_value[0]


def test_benjamini_and_hochberg_by_their_definition():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.5, np.nan])
    # Rank by rank: the smallest of p m / rank among this and all larger ones; m = 5 tests.
    ordered = np.array([0.005, 0.01, 0.03, 0.04, 0.5])
    raw = ordered * 5 / np.arange(1, 6)
    expected = dict(zip(ordered, np.minimum.accumulate(raw[::-1])[::-1], strict=True))
    result = corrected(p)
    assert result[:5] == pytest.approx([expected[value] for value in p[:5]])
    assert result[:5] == pytest.approx(stats.false_discovery_control(p[:5]))
    assert np.isnan(result[5])


def test_false_discoveries_stay_below_their_rate():
    generator = np.random.default_rng(4)
    shares = []
    for _ in range(40):
        left, right = generator.normal(size=(40, 200)), generator.normal(size=(40, 200))
        left[:, :20] += 1.5
        found = corrected(rank_test(left, right).p_value) < 0.1
        assert found[:20].mean() > 0.9
        shares.append(found[20:].sum() / found.sum())
    assert np.mean(shares) < 0.1


def test_a_row_per_feature_says_what_the_feature_is():
    generator = np.random.default_rng(5)
    real, generated = generator.normal(size=(30, 3)), generator.normal(size=(20, 3))
    generated[:, 1] += 3
    real[:4, 2] = np.nan
    names = [
        "Nuclei_AreaShape_Area",
        "Cells_Correlation_Correlation_DNA_ER",
        "Image_Granularity_2_DNA",
    ]
    frame = feature_differences(real, generated, names, ["DNA", "ER"])
    assert frame["compartment"].tolist() == ["Nuclei", "Cells", "Image"]
    assert frame["family"].tolist() == ["AreaShape", "Correlation", "Granularity"]
    assert frame["channel"].tolist() == ["", "DNA+ER", "DNA"]
    assert frame["n_real"].tolist() == [30, 30, 26]
    assert frame["n_generated"].tolist() == [20, 20, 20]
    assert frame["mean_real"].to_numpy() == pytest.approx(np.nanmean(real, axis=0))
    assert frame["median_generated"].to_numpy() == pytest.approx(np.median(generated, axis=0))
    assert frame["cliffs_delta"][1] > 0.9
    assert frame["p_corrected"][1] < 1e-4
    parts = frame.assign(
        comparison="generated-real", matched="condition", training_seed=1, sampling_seed=None
    )
    table = difference_table([parts])
    assert table.schema.equals(DIFFERENCE_SCHEMA)
    assert difference_table([]).num_rows == 0


def test_columns_have_to_fit():
    with pytest.raises(DataError, match="cannot be compared"):
        rank_test(np.zeros((3, 2)), np.zeros((3, 3)))
