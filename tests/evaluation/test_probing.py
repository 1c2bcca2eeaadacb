import json

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.probes.rows import probing_rows, probing_set_rows
from morphpipe.tables.metric_table import metric_table

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}
UNIT = np.eye(8)
MEANS = {
    (cell_type, name): 6 * UNIT[i] + 6 * UNIT[4 + j]
    for i, cell_type in enumerate("AB")
    for j, name in enumerate(["control", "1", "2"])
}
REGIMES = {"real-real", "generated-real", "real+generated-real", "generated-generated"}


def measure(*sets, **arguments):
    rows = probing_rows(*sets, context=CONTEXT, seed=2020, **arguments)
    table = metric_table(rows).to_pandas()
    return table.assign(settings=[json.loads(s) for s in table["settings"]])


@pytest.fixture
def sets(make_features):
    return (
        make_features(MEANS, seed=1, origin="generated", seeds=(3, 4)),
        make_features(MEANS, seed=2, wells=6),
        make_features(MEANS, seed=3, batch="b1"),
    )


def shuffled(images, seed):
    """The same images under labels that tell nothing, but constant in every well."""
    order = np.random.default_rng(seed).permutation(len(images))
    return FeatureSet(images.keys, images.features[order], images.extractor, images.view)


def test_a_good_generator_teaches_both_tasks(sets):
    table = measure(*sets)
    accuracy = table[table["metric"] == "accuracy"].set_index(["task", "regime"])
    assert set(accuracy.index.get_level_values("regime")) == REGIMES
    assert (accuracy["value"] > 0.97).all()
    assert (accuracy["ci_low"] < accuracy["value"]).all()
    assert (accuracy["ci_high"] <= 1).all()
    chances = {s["chance"] for s in accuracy.loc["perturbation"]["settings"]}
    assert chances == {1 / 3}
    assert accuracy.loc[("cell_type", "real-real"), "settings"]["chance"] == 0.5
    sizes = accuracy.loc["perturbation"][["n_left", "n_right"]].T.to_dict("list")
    # 6 conditions x wells x 4 fields; of 64 generated ones per class 19 (30 %) test.
    assert sizes == {
        "real-real": [192, 144],
        "generated-real": [192, 144],
        "real+generated-real": [384, 144],
        "generated-generated": [135, 57],
    }
    assert accuracy.loc[("cell_type", "real-real"), "training_seed"] is pd.NA or np.isnan(
        accuracy.loc[("cell_type", "real-real"), "training_seed"]
    )
    assert accuracy.loc[("cell_type", "generated-real"), "sampling_seed"] == 4


def test_classes_stand_in_the_column_of_the_task(sets):
    table = measure(*sets)
    classes = table[(table["metric"] == "class_accuracy") & (table["regime"] == "generated-real")]
    of_perturbations = classes[classes["task"] == "perturbation"]
    assert set(of_perturbations["perturbation"]) == {"control", "1", "2"}
    assert set(of_perturbations["cell_type"]) == {"all"}
    assert set(classes[classes["task"] == "cell_type"]["cell_type"]) == {"A", "B"}
    assert of_perturbations["n_right"].tolist() == [48, 48, 48]


def test_a_generator_that_ignores_its_condition_teaches_nothing(sets):
    generated, real, training = sets
    accuracies = []
    for seed in range(6):
        table = measure(shuffled(generated, seed), real, training, tasks=["perturbation"])
        accuracy = table[table["metric"] == "accuracy"].set_index("regime")
        accuracies.append(accuracy.loc["generated-real", "value"])
        assert accuracy.loc["real-real", "value"] > 0.97
        assert accuracy.loc["generated-generated", "ci_low"] < 1 / 3 + 0.05
    assert np.mean(accuracies) == pytest.approx(1 / 3, abs=0.15)


def test_cross_validation_is_there_or_says_why_not(sets, make_features):
    table = measure(*sets)
    folds = table[table["metric"] == "cross_validated_accuracy"]
    assert len(folds) == 8
    assert (folds["value"] > 0.95).all()
    training = make_features(MEANS, seed=3, batch="b1", wells=2)
    table = measure(sets[0], sets[1], training, tasks=["perturbation"])
    row = table.query("metric == 'cross_validated_accuracy' and regime == 'real-real'").iloc[0]
    assert pd.isna(row["value"])
    assert "5 wells of every class" in row["settings"]["reason"]


def test_classes_that_a_set_lacks_are_left_out_and_named(sets):
    generated = sets[0].select(sets[0].column("perturbation") != "2")
    table = measure(generated, sets[1], sets[2], tasks=["perturbation"])
    row = table.query("metric == 'accuracy' and regime == 'real-real'").iloc[0]
    assert row["settings"]["left_out"] == ["2"]
    assert row["settings"]["classes"] == 2
    assert row["n_right"] == 96
    only = sets[0].select(sets[0].column("perturbation") == "2")
    (reason,) = measure(only, sets[1], sets[2], tasks=["perturbation"])["settings"]
    assert "fewer than two" in reason["reason"]


def test_wells_on_both_sides_are_refused_or_noted(sets):
    generated, real, _ = sets
    with pytest.raises(DataError, match="36 wells are among both"):
        measure(generated, real, real)
    table = measure(generated, real, real, shared_wells=True)
    assert all(s["wells_in_training_and_test"] == 36 for s in table["settings"])


def test_mixed_up_sets_and_tasks_are_refused(sets):
    generated, real, training = sets
    with pytest.raises(DataError, match="instead of real ones"):
        measure(generated, real, generated)
    with pytest.raises(DataError, match="no generated images"):
        measure(real, real, training)
    with pytest.raises(DataError, match="probe task 'gene'"):
        measure(*sets, tasks=["gene"])


def test_one_generated_image_per_class_gives_a_row_with_a_reason(sets):
    generated, real, training = sets
    first = ~generated.keys.duplicated(["perturbation"]).to_numpy()
    table = measure(generated.select(first), real, training, tasks=("perturbation",))
    alone = table[table["regime"] == "generated-generated"]
    assert alone["value"].isna().all()
    assert "single well" in alone["settings"].iloc[0]["reason"]


def test_a_set_of_perturbations_is_probed_on_its_own(sets):
    rows = probing_set_rows(*sets, ["control", "2"], name="two", context=CONTEXT, seed=2020)
    table = metric_table(rows).to_pandas()
    assert set(table["group"]) == {"set: two"}
    of_class = table[(table["metric"] == "class_accuracy") & (table["task"] == "perturbation")]
    assert set(of_class["perturbation"]) == {"control", "2"}
    rest = table[table["metric"] != "class_accuracy"]
    assert set(rest["perturbation"]) == {"set: two"}
    assert {json.loads(s)["classes"] for s in rest["settings"]} == {2}
    # The same probe as on a selection by hand.
    chosen = [s.select(s.column("perturbation") != "1") for s in sets]
    alone = measure(*chosen)
    for task in ("perturbation", "cell_type"):
        values = [t[(t["metric"] == "accuracy") & (t["task"] == task)]["value"].tolist()
                  for t in (table, alone)]  # fmt: skip
        assert values[0] == values[1]
    missing = probing_set_rows(*sets, ["3", "4"], name="none", context=CONTEXT, seed=2020)
    assert {row["value"] for row in missing} == {None}
    assert "no image of 3, 4 on a side" in missing[0]["settings"]
