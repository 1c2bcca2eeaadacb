import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.floor import (
    Averaged,
    Ratio,
    draw_matched,
    draw_split_halves,
    measure_against_halves,
    measure_floor,
    split_halves,
)
from morphpipe.evaluation.core.statistics import InfluenceValues, Interval, influence_interval
from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.evaluation.distances.measures import Frechet

MEANS = {("A", "control"): 0.0, ("A", "1"): 1.0, ("B", "control"): 3.0}


def test_halves_share_no_well_and_are_of_one_size(make_features):
    real = make_features(MEANS, seed=0, wells=5)
    wells = real.groups
    drawn = split_halves(real, repeats=6, at_most=1000, seed=0)
    assert len({len(half) for h in drawn for half in (h.first, h.second)}) == 1
    for split_half in drawn:
        assert not set(wells[split_half.first]) & set(wells[split_half.second])
        assert len(set(split_half.first)) == len(split_half.first) >= 24
    assert len({tuple(sorted(h.first)) for h in drawn}) == 6
    assert {len(h.first) for h in split_halves(real, repeats=2, at_most=7, seed=0)} == {7}


def test_a_single_well_has_no_floor(make_features):
    with pytest.raises(DataError, match="single well"):
        split_halves(make_features({("A", "1"): 0}, seed=0, wells=1), repeats=1, at_most=9, seed=0)


def test_halves_of_different_conditions_are_no_floor(make_features):
    alone = make_features(MEANS, seed=0, wells=1)
    drawn, reason = draw_split_halves(alone, repeats=2, at_most=9, minimum=1, seed=0)
    assert drawn == []
    assert "single well" in reason
    assert "units: site" in reason


def test_matched_draws_follow_the_target():
    generator = np.random.default_rng(0)
    pool = np.repeat(["a", "b", "c"], [50, 50, 3])
    target = np.repeat(["a", "b"], [6, 2])
    chosen, share = draw_matched(pool, target, generator)
    assert sorted(pool[chosen]) == ["a"] * 6 + ["b"] * 2
    assert share == 1
    assert len(set(chosen)) == 8
    chosen, share = draw_matched(pool, np.repeat(["c", "a"], [6, 4]), generator)
    assert len(set(chosen)) == 10
    assert (pool[chosen] == "c").sum() == 3
    assert share == pytest.approx(0.7)


def test_floor_is_the_mean_over_split_halves(make_features):
    real = make_features(MEANS, seed=0)
    drawn = split_halves(real, repeats=3, at_most=1000, seed=0)
    values = [frechet_distance(real.features[h.first], real.features[h.second]) for h in drawn]
    floor, notes = measure_floor(Frechet("test"), real, drawn)
    assert floor.value == pytest.approx(np.mean(values))
    assert notes["standard_deviation_over_split_halves"] == pytest.approx(np.std(values))


def test_copies_of_the_real_distribution_are_at_the_floor(make_features):
    ratios = []
    for seed in range(8):
        real = make_features(MEANS, seed=seed)
        other = make_features(MEANS, seed=seed + 100, batch="b1")
        drawn = split_halves(real, repeats=4, at_most=1000, seed=seed)
        floor, _ = measure_floor(Frechet("test"), real, drawn)
        distance, notes = measure_against_halves(
            Frechet("test"), other, real, drawn, match="condition", seed=seed
        )
        assert notes["share_matched"] == 1
        ratios.append(Ratio(distance, floor).value)
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)


def test_interval_of_the_ratio_covers(make_features):
    """Real and generated of one distribution: the ratio scatters as its interval says."""
    ratios = []
    for seed in range(60):
        real = make_features({("A", "1"): 0.0}, seed=seed, wells=16, well_deviation=0.5)
        other = make_features(
            {("A", "1"): 0.3}, seed=seed + 1000, wells=16, well_deviation=0.5, batch="b1"
        )
        drawn = split_halves(real, repeats=3, at_most=1000, seed=seed)
        floor, _ = measure_floor(Frechet("test"), real, drawn)
        distance, _ = measure_against_halves(
            Frechet("test"), other, real, drawn, match=None, seed=seed
        )
        ratio = Ratio(distance, floor)
        assert ratio.value == pytest.approx(distance.value / floor.value)

        def interval_of(difference, real=real, other=other):
            return influence_interval(
                difference.value,
                [
                    InfluenceValues(difference.left, other.groups),
                    InfluenceValues(difference.right, real.groups),
                ],
                draw_variance=difference.draw_variance,
            )

        ratios.append((ratio.value, *ratio.interval(interval_of)))
    values, lows, highs = np.array(ratios).T
    covered = np.mean((lows <= values.mean()) & (values.mean() <= highs))
    assert covered > 0.88
    assert np.median(highs - lows) < 2 * 4 * values.std()


def normal_interval(left_variance, floor_variance):
    """Of a difference of two independent means with known variances, 1.96 deviations."""

    def interval(difference):
        multiple = difference.right[0, 0]
        half = 1.96 * (left_variance + multiple**2 * floor_variance) ** 0.5
        return Interval(difference.value - half, difference.value + half)

    return interval


def ratio_of(distance, floor):
    """A ratio whose `beyond` tells the multiple in the first contribution of the right side."""
    return Ratio(
        Averaged(np.array([distance]), np.zeros((1, 1)), np.zeros((1, 1))),
        Averaged(np.array([floor]), np.zeros((1, 0)), -np.ones((1, 1))),
    )


def test_interval_of_a_ratio_is_fiellers():
    """The closed form for independent means: roots of (d - r f)^2 = z^2 (s_d^2 + r^2 s_f^2)."""
    distance, floor, deviation, floor_deviation = 3.0, 1.0, 0.2, 0.25
    found = ratio_of(distance, floor).interval(normal_interval(deviation**2, floor_deviation**2))
    z2 = 1.96**2
    roots = np.roots(
        [
            floor**2 - z2 * floor_deviation**2,
            -2 * distance * floor,
            distance**2 - z2 * deviation**2,
        ]
    )
    assert found == pytest.approx(tuple(sorted(roots)), rel=1e-6)
    # A symmetric interval would reach below 1.6; the distance lies clearly above the floor.
    assert found.low > 1.9


def test_ratio_to_a_floor_that_is_not_told_from_zero_has_no_upper_end():
    found = ratio_of(3.0, 1.0).interval(normal_interval(0.01, 1.0))
    assert found.high == np.inf
    assert 0 < found.low < 3
