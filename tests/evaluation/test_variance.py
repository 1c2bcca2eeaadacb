import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.coverage.variance import feature_variance, variance_rows, variance_within
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}
MEANS = {("A", "control"): 0.0, ("A", "1"): 20.0, ("B", "control"): 40.0}


def test_variance_and_contributions():
    x = np.random.default_rng(0).standard_normal((40, 6)) * [1, 2, 3, 1, 1, 5]
    found = feature_variance(x)
    assert found.value == pytest.approx(x.var(axis=0, ddof=1).mean())
    # The jackknife's standard error is that of the contributions to first order.
    without = [np.delete(x, i, axis=0).var(axis=0, ddof=1).mean() for i in range(40)]
    jackknife = np.sqrt(39 / 40 * ((without - np.mean(without)) ** 2).sum())
    assert np.sqrt((found.left**2).sum()) == pytest.approx(jackknife, rel=0.05)
    with pytest.raises(DataError, match="at least 2"):
        feature_variance(x[:1])


def test_the_variance_between_conditions_is_not_counted(make_features):
    images = make_features(MEANS, seed=0, wells=20)
    value, contributions = variance_within(images, sorted(set(images.conditions)))
    assert value == pytest.approx(1, abs=0.1)
    assert contributions.shape == (len(images),)


@pytest.fixture(scope="module")
def table(make_features):
    real = make_features(MEANS, seed=1)
    training = make_features(MEANS, seed=2, batch="b1")
    generated = make_features(MEANS, seed=3, origin="generated")
    # A generator that shows too little of one condition.
    flat = generated.column("perturbation") == "1"
    features = generated.features.copy()
    features[flat] = 20 + 0.1 * (features[flat] - 20)
    collapsed = FeatureSet(generated.keys, features, generated.extractor, generated.view)
    return metric_table(
        variance_rows(collapsed, real, training, context=CONTEXT, **settings_of("variance"))
    ).to_pandas()  # fmt: skip


def row(table, metric, comparison, cell_type="all", perturbation="all"):
    chosen = table[
        (table["metric"] == metric)
        & (table["comparison"] == comparison)
        & (table["cell_type"] == cell_type)
        & (table["perturbation"] == perturbation)
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_collapsed_condition_shows(table):
    collapsed = row(table, "variance_difference", "generated-real", "A", "1")
    assert collapsed["value"] == pytest.approx(-0.99, abs=0.3)
    assert collapsed["ci_high"] < 0
    faithful = row(table, "variance_difference", "generated-real", "B", "control")
    assert faithful["ci_low"] < 0 < faithful["ci_high"]
    for comparison in ("real", "generated", "training"):
        found = row(table, "feature_variance", comparison, "B", "control")
        assert found["value"] == pytest.approx(1, abs=0.25)
        assert found["ci_low"] <= found["value"] <= found["ci_high"]
    floor = row(table, "variance_difference", "real-real")
    assert 0 < floor["value"] < 0.2


def test_differences_are_differences(table):
    for scope in (("all", "all"), ("A", "all"), ("all", "1"), ("A", "1")):
        values = {
            comparison: row(table, "feature_variance", comparison, *scope)["value"]
            for comparison in ("real", "generated", "training")
        }
        for comparison, left in (("generated-real", "generated"), ("copy-real", "training")):
            difference = row(table, "variance_difference", comparison, *scope)["value"]
            assert difference == pytest.approx(values[left] - values["real"])


def test_few_images_are_said(make_features):
    real = make_features({("A", "control"): 0.0}, seed=0, wells=1, fields_per_well=2)
    generated = make_features({("A", "control"): 0.0}, seed=1, origin="generated")
    rows = variance_rows(generated, real, context=CONTEXT, **settings_of("variance"))
    table = metric_table(rows).to_pandas()
    assert table["value"].isna().all()
    assert table["settings"].str.contains("no condition has 4 images").all()
