import numpy as np
import pytest
from scipy import stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.statistics import (
    InfluenceValues,
    bootstrap_interval,
    influence_interval,
    interval_from_replicates,
    t_interval,
    wilson_interval,
)
from morphpipe.evaluation.distances.frechet import frechet_distance, linearised_frechet_distance
from morphpipe.evaluation.distances.kernel import linearised_mmd


def clustered(generator, wells, fields, width, within=0.5):
    """Features of unit variance, a share of which the fields of a well have in common."""
    shared = np.repeat(generator.standard_normal((wells, width)), fields, axis=0)
    own = generator.standard_normal((wells * fields, width))
    return within**0.5 * shared + (1 - within) ** 0.5 * own


def test_bootstrap_of_a_mean_has_the_classical_width():
    sample = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap_interval(np.mean, [sample], [None], replicates=2000, seed=1)
    expected = stats.norm.interval(0.95, sample.mean(), sample.std(ddof=1) / 20)
    np.testing.assert_allclose([low, high], expected, atol=0.02)
    assert (low, high) == bootstrap_interval(np.mean, [sample], [None], replicates=2000, seed=1)
    assert (low, high) != bootstrap_interval(np.mean, [sample], [None], replicates=2000, seed=2)


def test_bootstrap_over_wells_covers_where_fields_would_not():
    generator = np.random.default_rng(0)
    wells = np.repeat(np.arange(12), 6)
    covered = {"wells": 0, "fields": 0}
    for repeat in range(150):
        sample = clustered(generator, 12, 6, 1)[:, 0]
        for name, groups in (("wells", wells), ("fields", None)):
            low, high = bootstrap_interval(np.mean, [sample], [groups], replicates=150, seed=repeat)
            covered[name] += low <= 0 <= high
    assert covered["wells"] / 150 > 0.85
    assert covered["fields"] / 150 < 0.80


def test_quantiles_of_known_replicates():
    drawn = np.linspace(10, 14, 401)
    assert interval_from_replicates(drawn) == pytest.approx((10.1, 13.9))
    assert interval_from_replicates(drawn, level=0.5) == pytest.approx((11, 13))


@pytest.mark.parametrize(
    ("width", "decay", "shift"), [(6, 0.0, 0.5), (6, 0.0, 0.0), (128, 0.5, 0.0)]
)
def test_linearised_interval_covers_the_expected_frechet_distance(width, decay, shift):
    generator = np.random.default_rng(2)
    scale = np.arange(1, width + 1) ** -decay
    wells = np.repeat(np.arange(15), 3)

    def draw():
        return clustered(generator, 15, 3, width) * scale, generator.normal(
            shift, 1, (40, width)
        ) * scale

    expected = np.mean([frechet_distance(*draw()) for _ in range(400)])
    intervals = []
    for _ in range(100):
        result = linearised_frechet_distance(*draw())
        intervals.append(
            influence_interval(
                result.value, [InfluenceValues(result.left, wells), InfluenceValues(result.right)]
            )
        )
    covered = np.mean([low <= expected <= high for low, high in intervals])
    assert covered >= 0.88
    # Not by being wide: the interval is of the size of the scatter between samples.
    scatter = np.std([(low + high) / 2 for low, high in intervals])
    assert np.mean([high - low for low, high in intervals]) < 2 * 2 * 1.7 * scatter


def test_bootstrapped_frechet_distances_lie_above_the_value():
    # Why the linearised interval exists.
    generator = np.random.default_rng(3)
    x, y = generator.standard_normal((2, 50, 60))
    low, _ = bootstrap_interval(frechet_distance, [x, y], [None, None], replicates=50, seed=0)
    assert low > frechet_distance(x, y)


def test_linearised_interval_covers_the_mmd():
    # E (a.b / d + 1)^3 between N(0, I) and N(s, I) with |s|^2 = q, from the moments of Gaussians.
    generator = np.random.default_rng(4)
    width, shift = 32, 0.4
    q = width * shift**2
    truth = 3 * q / width + 3 * (q / width) ** 2
    truth += (q**3 + 6 * q**2 + (3 * width + 6) * q) / width**3
    covered = 0
    for _ in range(150):
        x = generator.standard_normal((80, width))
        y = generator.normal(shift, 1, (80, width))
        result = linearised_mmd(x, y)
        low, high = influence_interval(
            result.value, [InfluenceValues(result.left), InfluenceValues(result.right)]
        )
        covered += low <= truth <= high
    assert covered / 150 > 0.88


def test_linearised_interval_of_a_mean_is_the_t_interval_over_wells():
    values = np.random.default_rng(0).normal(size=30)
    wells = np.repeat(np.arange(10), 3)
    contributions = (values - values.mean()) / 30
    means = values.reshape(10, 3).mean(axis=1)
    expected = stats.t.interval(0.95, 9, means.mean(), stats.sem(means))
    assert influence_interval(
        values.mean(), [InfluenceValues(contributions, wells)]
    ) == pytest.approx(expected)


def test_a_fixed_mix_of_conditions_is_no_uncertainty():
    # The classical standard error of a stratified mean of wells.
    generator = np.random.default_rng(0)
    strata = np.repeat([0, 1, 2], 12)
    wells = np.repeat(np.arange(12), 3)
    values = 10.0 * strata + generator.normal(size=36)
    contributions = InfluenceValues((values - values.mean()) / 36, wells, strata)
    means = values.reshape(3, 4, 3).mean(axis=2)
    error = np.sqrt((means.var(axis=1, ddof=1) / 4 / 9).sum())
    expected = stats.t.interval(0.95, 9, values.mean(), error)
    assert influence_interval(values.mean(), [contributions]) == pytest.approx(expected)
    low, high = influence_interval(values.mean(), [contributions._replace(strata=None)])
    assert high - low > 5 * (expected[1] - expected[0])


def test_scatter_over_random_draws_does_not_widen_the_interval():
    # Contributions whose mean over draws is known, seen through few and noisy draws.
    generator = np.random.default_rng(0)
    known = generator.normal(size=400)
    known -= known.mean()
    noisy = known + generator.normal(0, 3, (5, 400))
    expected = influence_interval(0.0, [InfluenceValues(known)]).high
    assert influence_interval(0.0, [InfluenceValues(noisy)]).high == pytest.approx(
        expected, rel=0.3
    )
    naive = influence_interval(0.0, [InfluenceValues(noisy.mean(axis=0))]).high
    assert naive > 1.5 * expected
    with_draws = influence_interval(0.0, [InfluenceValues(known)], draw_variance=3 * known @ known)
    assert with_draws.high == pytest.approx(2 * expected, rel=0.02)


@pytest.mark.parametrize("strata", [[0, 1, 2, 3], [0, 0, 0, 1], [0, 0, 1, 2]])
def test_conditions_of_a_single_well_count_together(strata):
    values = np.array([1.0, -2.0, 3.0, -2.0])
    low, high = influence_interval(0.0, [InfluenceValues(values, None, strata)])
    assert low < -1
    assert high > 1


def test_wilson_by_the_book_and_never_outside():
    # 8 of 10 (Brown, Cai and DasGupta's formula, computed by statsmodels): 0.4902, 0.9433.
    assert wilson_interval([1] * 8 + [0] * 2) == pytest.approx((0.49016, 0.94332), abs=1e-4)
    assert wilson_interval([True] * 20) == pytest.approx((1 / (1 + 1.959964**2 / 20), 1.0))
    assert wilson_interval([False] * 20)[0] == 0.0


def test_wilson_counts_wells_where_their_images_agree():
    outcome = np.repeat([1, 1, 1, 0, 1, 0, 1, 1, 1, 0], 4)
    wells = np.repeat(np.arange(10), 4)
    together, apart = wilson_interval(outcome, wells), wilson_interval(outcome)
    one_each = wilson_interval(outcome[::4])
    assert together == pytest.approx(one_each, abs=0.02)
    assert apart.high - apart.low < 0.6 * (together.high - together.low)
    # All right: nothing is seen of the design effect, and the wells count.
    right = np.ones(40)
    assert wilson_interval(right, wells) == pytest.approx(wilson_interval(np.ones(10)))


def test_wilson_covers_clustered_proportions():
    generator = np.random.default_rng(5)
    wells = np.repeat(np.arange(15), 4)
    covered = 0
    for _ in range(300):
        share = generator.beta(1.4, 0.6, size=15)  # mean 0.7, images of a well alike
        low, high = wilson_interval(generator.random(60) < share[wells], wells)
        covered += low <= 0.7 <= high
    assert covered / 300 > 0.9


def test_t_interval_over_three_seeds():
    mean, interval = t_interval([50.0, 51.0, 52.0])
    assert mean == 51
    # t(0.975, 2) = 4.302653, standard error 1 / sqrt(3).
    assert interval == pytest.approx((51 - 4.302653 / 3**0.5, 51 + 4.302653 / 3**0.5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_interval([1.0]), "at least two"),
        (lambda: t_interval([1.0, np.nan]), "finite"),
        (lambda: wilson_interval([]), "at least one"),
        (lambda: wilson_interval([1, 0], [0]), "one well label"),
        (lambda: wilson_interval([1, 0], level=95), "0.95"),
        (lambda: bootstrap_interval(np.mean, [np.ones(3)], [[1, 1, 1]], seed=0), "two wells"),
        (lambda: bootstrap_interval(np.mean, [np.ones(3)], [], seed=0), "per sample"),
        (lambda: interval_from_replicates([1, np.nan]), "finite"),
        (lambda: influence_interval(0, [InfluenceValues([1.0, -1.0], [0, 0])]), "two wells"),
    ],
)
def test_what_cannot_be_had_is_an_error(call, message):
    with pytest.raises(DataError, match=message):
        call()
