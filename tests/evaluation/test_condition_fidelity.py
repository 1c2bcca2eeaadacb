import numpy as np
import pytest
from scipy.stats import energy_distance as scipy_energy_distance

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.retrieval.condition_fidelity import (
    condition_fidelity_rows,
    energy_distance,
)
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}
NAMES = ["control", "a", "b", "c", "d"]
MEANS = {("A", name): 3.0 * i for i, name in enumerate(NAMES)}


def test_energy_distance_in_one_dimension_is_that_of_scipy():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 1)), generator.normal(0.7, 1.3, size=(45, 1))
    # scipy gives the square root of the biased form, with the diagonal in the means.
    biased = scipy_energy_distance(x[:, 0], y[:, 0]) ** 2

    def within(rows):
        return np.abs(rows - rows.T).sum() / len(rows) ** 2

    expected = biased - within(x) / (len(x) - 1) - within(y) / (len(y) - 1)
    assert energy_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_energy_distance_of_one_distribution_is_zero_on_average():
    generator = np.random.default_rng(1)
    values = [energy_distance(*generator.normal(size=(2, 12, 3))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 400**0.5
    assert min(values) < 0


@pytest.mark.parametrize(
    ("x", "message"),
    [([[1.0]], "at least 2"), ([[1.0], [np.nan]], "NaN"), ([[1.0, 2], [3, 4]], "columns")],
)
def test_bad_input_is_no_number(x, message):
    with pytest.raises(DataError, match=message):
        energy_distance(x, [[1.0], [2.0]])


@pytest.fixture(scope="module")
def make_table(make_features):
    real = make_features(MEANS, seed=1)
    training = make_features(MEANS, seed=2, batch="b1")
    generated = make_features(MEANS, seed=3, origin="generated")

    def make(features=generated.features, real=real):
        images = FeatureSet(generated.keys, features, generated.extractor, generated.view)
        rows = condition_fidelity_rows(
            images, real, training, context=CONTEXT, **settings_of("condition_fidelity")
        )
        return metric_table(rows).to_pandas()

    return make


def value(table, metric, comparison, perturbation="all"):
    chosen = table[
        (table["metric"] == metric)
        & (table["comparison"] == comparison)
        & (table["perturbation"] == perturbation)
    ]
    assert len(chosen) == 1
    return chosen["value"].iloc[0]


def test_a_good_generator_comes_first_as_real_images_do(make_table):
    table = make_table()
    for comparison in ("generated-real", "copy-real", "real-real"):
        assert value(table, "own_rank_percentile", comparison) == 0
        for name in NAMES:
            assert value(table, "own_rank", comparison, name) == 1
        assert abs(value(table, "energy_distance", comparison)) < 0.2


def test_untreated_cells_are_as_far_as_the_treatment_moves_them(make_table, make_features):
    table = make_table()
    untreated = table[table["comparison"] == "untreated-real"]
    # Controls come first among all conditions for themselves only.
    assert set(untreated["perturbation"]) == {"a", "b", "c", "d", "all"}
    real = make_features(MEANS, seed=1)
    sides = {n: real.features[real.column("perturbation") == n] for n in ("control", "c")}
    expected = energy_distance(sides["control"], sides["c"])
    assert value(table, "energy_distance", "untreated-real", "c") == pytest.approx(expected)
    assert value(table, "own_rank", "untreated-real", "c") == 4


def test_a_generator_that_ignores_its_condition_has_ranks_by_chance(make_table):
    generator = np.random.default_rng(0)
    count = 8 * 4 * len(NAMES)
    # Realistic images, of any condition whatever was asked for.
    mixture = generator.permutation(np.repeat(list(MEANS.values()), count // len(NAMES)))
    features = (generator.normal(size=(count, 8)) + mixture[:, None]).astype(np.float32)
    table = make_table(features)
    assert value(table, "own_rank_percentile", "generated-real") > 0.3
    assert value(table, "energy_distance", "generated-real") > 1
    assert value(table, "own_rank_percentile", "copy-real") == 0


def test_one_condition_that_is_another_s_is_named(make_table, make_features):
    swapped = make_features(
        MEANS | {("A", "a"): MEANS["A", "c"]}, seed=3, origin="generated"
    ).features
    table = make_table(swapped)
    assert value(table, "own_rank", "generated-real", "a") == 4
    assert value(table, "own_rank_percentile", "generated-real", "a") == 0.75
    assert value(table, "own_rank", "generated-real", "b") == 1
    assert value(table, "own_rank_percentile", "generated-real") == pytest.approx(0.15)


def test_too_few_images_are_a_reason(make_table, make_features):
    few = make_features(MEANS, seed=1, wells=1, fields_per_well=2)
    table = make_table(real=few)
    rows = table[table["comparison"] == "generated-real"]
    assert rows["value"].isna().all()
    assert rows["settings"].str.contains("no condition has 4 images").all()
