import json

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.floor import split_halves
from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.evaluation.distances.kernel import kernel_distance
from morphpipe.evaluation.distances.rows import distance_rows
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}
MEANS = {("A", "control"): 0.0, ("A", "1"): 1.5, ("B", "control"): 4.0, ("B", "1"): 5.5}
# Few images on a side are measured where it is about them.
FAST = {"floor_repeats": 4, "subset_size": 50, "subsets": 10, "low_sample": 1000}


def measure(generated, real, training=None, **settings):
    settings = settings_of("distances", **settings or FAST)
    rows = distance_rows(generated, real, training, context=CONTEXT, **settings)
    table = metric_table(rows).to_pandas()
    return table.assign(settings=[json.loads(s) for s in table["settings"]])


def pick(table, metric, comparison, cell_type="all", perturbation="all"):
    chosen = table.query(
        "metric == @metric and comparison == @comparison and cell_type == @cell_type "
        "and perturbation == @perturbation"
    )
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.fixture
def sets(make_features):
    return (
        make_features(MEANS, seed=1, origin="generated", seeds=(3, 4)),
        make_features(MEANS, seed=2),
        make_features(MEANS, seed=3, batch="b1", wells=16),
    )


def test_a_perfect_generator(sets):
    table = measure(*sets)
    generated, real, _ = sets
    row = pick(table, "frechet_distance", "generated-real")
    expected = frechet_distance(generated.features, real.features)
    assert row["value"] == pytest.approx(expected)
    assert (row["n_left"], row["n_right"]) == (128, 128)
    assert (row["training_seed"], row["sampling_seed"]) == (3, 4)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    floor = pick(table, "frechet_distance", "real-real")
    assert (floor["n_left"], floor["n_right"]) == (64, 64)
    assert pd.isna(floor["training_seed"])
    copies = pick(table, "frechet_distance", "copy-real")
    like = pick(table, "frechet_distance", "generated-real@floor-n")
    for row in (copies, like):
        assert (row["n_left"], row["n_right"]) == (64, 64)
        assert row["value"] == pytest.approx(floor["value"], rel=0.35)
        assert row["settings"]["share_matched"] == 1
    relative = pick(table, "relative_frechet_distance", "generated-real@floor-n")
    assert relative["value"] == pytest.approx(like["value"] / floor["value"])
    assert relative["ci_low"] < 1 < relative["ci_high"]
    # A smaller set is at a larger Fréchet distance: that is why like stands beside like.
    assert like["value"] > pick(table, "frechet_distance", "generated-real")["value"]


def test_a_shifted_generator_is_above_floor_and_copies(sets, make_features):
    # 200 images in 8 columns: |shift|^2 = 8 x 0.25, and little bias.
    shifted = {condition: mean + 0.5 for condition, mean in MEANS.items()}
    generated = make_features(shifted, seed=1, origin="generated", wells=32)
    real = make_features(MEANS, seed=2, wells=32)
    table = measure(generated, real, sets[2])
    row = pick(table, "frechet_distance", "generated-real")
    assert row["value"] == pytest.approx(2.0, abs=0.4)
    assert row["ci_low"] < 2.1 < row["ci_high"]
    assert pick(table, "relative_frechet_distance", "generated-real@floor-n")["ci_low"] > 1
    kernel = pick(table, "kernel_distance", "generated-real", cell_type="A", perturbation="1")
    sets_of_one = [images.features[images.conditions == "A\x1f1"] for images in (generated, real)]
    assert kernel["value"] == pytest.approx(
        kernel_distance(*sets_of_one, subset_size=50, subsets=10).mean
    )
    assert kernel["settings"]["subset_size"] == 50
    assert kernel["settings"]["subset_standard_deviation"] > 0


def test_shuffled_conditions_tell_whether_the_condition_is_obeyed(sets, make_features):
    table = measure(*sets)
    for scope in (
        {"perturbation": "1"},
        {"cell_type": "A"},
        {"cell_type": "B", "perturbation": "1"},
    ):
        shuffled = pick(table, "frechet_distance", "shuffled-real", **scope)
        obeyed = pick(table, "frechet_distance", "generated-real@floor-n", **scope)
        assert shuffled["value"] > 2 * obeyed["value"]
        assert shuffled["n_left"] == obeyed["n_left"]
    # One mixture whatever the condition: shuffling changes nothing.
    generated = sets[0]
    order = np.random.default_rng(0).permutation(len(generated))
    blind = FeatureSet(generated.keys, generated.features[order], "test", "rgb")
    table = measure(blind, sets[1])
    shuffled = pick(table, "frechet_distance", "shuffled-real", perturbation="1")
    obeyed = pick(table, "frechet_distance", "generated-real@floor-n", perturbation="1")
    assert shuffled["value"] == pytest.approx(obeyed["value"], rel=0.25)
    assert (
        table.query("cell_type == 'all' and perturbation == 'all'")["comparison"]
        .isin(
            [
                "real-real",
                "generated-real",
                "generated-real@floor-n",
                "generated-real@real-mix",
            ]
        )
        .all()
    )


def test_every_condition_has_its_rows_and_few_images_give_a_reason(sets):
    generated, real, training = sets
    table = measure(generated, real, training, floor_repeats=2, minimum_images=40)
    scopes = table.groupby(["cell_type", "perturbation"]).size()
    assert len(scopes) == 1 + 2 + 2 + 4
    pairs = table.query("cell_type != 'all' and perturbation != 'all'")
    pairs = pairs[~pairs["comparison"].str.endswith("@low-n")]
    assert pairs["value"].isna().all()
    assert all("fewer than the minimum of 40" in s["reason"] for s in pairs["settings"])
    assert (pairs["comparison"] == "shuffled-real").sum() == 8
    # Of several conditions, subsets are not drawn, and the row says what was done instead.
    floor = pick(table, "kernel_distance", "real-real")
    expected = "unbiased MMD over all images, within and between conditions"
    assert floor["settings"]["estimator"] == expected
    assert "subset_standard_deviation" not in floor["settings"]


def test_the_mix_of_real_images_is_followed(make_features):
    # Of the real images of cell type A most are of the control, of the generated ones a half.
    means = {("A", "control"): 0.0, ("A", "1"): 6.0}
    generated = make_features(means, seed=1, origin="generated", wells=20)
    real = make_features({**means, ("A", "2"): 9.0}, seed=2, wells=16)
    few = real.column("well")
    kept = (real.column("perturbation") != "1") | np.isin(few, [f"1-{n}" for n in range(4)])
    table = measure(generated, real.select(kept))
    alike = pick(table, "frechet_distance", "generated-real@real-mix", "A")
    assert (alike["n_left"], alike["n_right"]) == (80, 80)
    assert alike["settings"]["share_matched"] == 1
    # 64 of the control, 16 of "1" and 64 of "2", which was not generated.
    assert alike["settings"]["share_of_real"] == pytest.approx(80 / 144, abs=1e-4)
    mixed = pick(table, "frechet_distance", "generated-real", "A")["value"]
    assert alike["value"] < 0.2 * mixed
    assert alike["ci_low"] <= alike["value"] <= alike["ci_high"]


def test_few_images_on_both_sides(sets):
    generated, real, training = sets
    table = measure(generated, real, training, floor_repeats=2, low_sample=8)
    for comparison in ("real-real@low-n", "generated-real@low-n", "copy-real@low-n"):
        row = pick(table, "frechet_distance", comparison, "A", "1")
        assert (row["n_left"], row["n_right"]) == (8, 8)
        assert row["value"] > 0
    # One set of 24 of the 32 held-out images of a condition, but no two.
    large = measure(generated, real, training, floor_repeats=2, low_sample=24)
    floor = pick(large, "frechet_distance", "real-real@low-n", "A", "1")
    assert "halves of 16 images, fewer than the minimum of 24" in floor["settings"]["reason"]
    for comparison in ("generated-real@low-n", "copy-real@low-n"):
        assert pick(large, "frechet_distance", comparison, "A", "1")["n_left"] == 24
    assert not large[large["perturbation"] == "all"]["comparison"].str.endswith("@low-n").any()


def test_seeds_share_one_floor(sets, make_features):
    few = make_features(MEANS, seed=9, origin="generated", seeds=(3, 5), wells=3)
    both = FeatureSet(
        pd.concat([sets[0].keys, few.keys]),
        np.concatenate([sets[0].features, few.features]),
        "test",
        "rgb",
    )
    table = measure(both, sets[1], sets[2])
    assert pick(table, "frechet_distance", "real-real")["n_left"] == 48
    overall = table.query(
        "metric == 'frechet_distance' and cell_type == 'all' and perturbation == 'all'"
    )
    full = overall[overall["comparison"] == "generated-real"]
    assert full[["sampling_seed", "n_left"]].to_numpy().tolist() == [[4, 128], [5, 48]]
    assert (overall["comparison"] == "copy-real").sum() == 1


def test_conditions_that_were_not_generated_do_not_enter(sets):
    generated = sets[0].select(sets[0].column("cell_type") == "A")
    table = measure(generated, sets[1], sets[2])
    assert pick(table, "frechet_distance", "generated-real")["n_right"] == 64
    assert set(table["cell_type"]) == {"all", "A"}


def test_copies_need_as_many_images_as_the_floor(sets):
    table = measure(sets[0], sets[1], sets[2].select(np.arange(20)))
    row = pick(table, "frechet_distance", "copy-real")
    assert pd.isna(row["value"])
    assert row["settings"]["reason"] == "20 images where the floor has 64"


def test_replayed_test_images_are_pointed_out(sets):
    row = pick(measure(sets[0], sets[1], sets[1]), "frechet_distance", "copy-real")
    assert row["settings"]["fields_in_both"] == 128


def test_one_well_gives_distances_without_floor_or_interval(sets, make_features):
    real = make_features({("A", "1"): 0.0}, seed=0, wells=1, fields_per_well=30)
    generated = make_features({("A", "1"): 0.0}, seed=1, origin="generated")
    table = measure(generated, real)
    row = pick(table, "frechet_distance", "generated-real")
    assert row["value"] > 0
    assert pd.isna(row["ci_low"])
    assert "single well" in row["settings"]["interval"]
    floor = pick(table, "frechet_distance", "real-real")
    assert floor["settings"]["reason"] == "the real fields come from fewer than two wells"


def test_same_input_same_table(sets):
    pd.testing.assert_frame_equal(measure(*sets), measure(*sets))


def test_inception_features_give_fid_and_kid(make_features):
    generated = make_features(MEANS, seed=1, origin="generated", extractor="inception")
    table = measure(generated, make_features(MEANS, seed=2, extractor="inception"))
    assert set(table["metric"]) == {"FID", "KID", "relative_FID"}


def test_halves_do_not_depend_on_generated_images(sets):
    real = sets[1]
    wells = real.groups
    for split_half in split_halves(real, repeats=2, at_most=64, seed=2020):
        assert not set(wells[split_half.first]) & set(wells[split_half.second])


def test_mixed_up_sets_are_refused(sets, make_features):
    generated, real, _ = sets
    with pytest.raises(DataError, match="instead of real ones"):
        measure(generated, generated)
    with pytest.raises(DataError, match="no generated images"):
        measure(real, real)
    with pytest.raises(DataError, match="other on view rgb"):
        measure(generated, make_features(MEANS, seed=0, extractor="other"))


def test_mechanisms_and_unseen_perturbations_have_rows_of_their_own(make_features):
    means = {("A", "control"): 0.0, ("A", "1"): 1.0, ("A", "2"): 2.0, ("A", "3"): 3.0}
    moa = {"1": "x", "2": "y", "3": "y"}
    generated = make_features(means, seed=1, origin="generated")
    real = make_features(means, seed=2, mechanisms=moa)
    training = make_features(means, seed=3, batch="b1")
    seen = training.select(training.column("perturbation") != "3")
    table = measure(generated, real, seen)
    grouped = table[table["group"].notna()]
    assert set(grouped["group"]) == {"moa: x", "moa: y", "distribution: in", "distribution: out"}
    assert (grouped["perturbation"] == grouped["group"]).all()
    assert (grouped["cell_type"] == "all").all()
    row = pick(table, "frechet_distance", "generated-real", perturbation="moa: y")
    of_y = [s.select(np.isin(s.column("perturbation"), ["2", "3"])) for s in (generated, real)]
    assert row["value"] == pytest.approx(frechet_distance(*(s.features for s in of_y)))
    assert row["settings"]["perturbations"] == ["2", "3"]
    # A group of one perturbation says what the perturbation's own row says.
    for comparison in ("real-real", "generated-real", "generated-real@floor-n", "shuffled-real"):
        alone = pick(table, "frechet_distance", comparison, perturbation="moa: x")
        assert (
            alone["value"] == pick(table, "frechet_distance", comparison, perturbation="1")["value"]
        )
    outside = pick(table, "frechet_distance", "copy-real", perturbation="distribution: out")
    assert "0 images where the floor has" in outside["settings"]["reason"]
    # All else is what it is without groups.
    plain = measure(generated, make_features(means, seed=2), training)
    assert plain["group"].isna().all()
    rest = table[table["group"].isna()]
    assert len(rest) == len(plain)
    same = ~rest["comparison"].str.startswith("copy-real")
    values = [of["value"][same.to_numpy()].fillna(-1).tolist() for of in (rest, plain)]
    assert values[0] == values[1]


def test_intervals_of_few_wells_say_so(make_features):
    generated = make_features(MEANS, seed=1, origin="generated", wells=16)
    for wells, said in ((3, "; with 3 wells in a condition it may be too narrow"), (4, "")):
        real = make_features(MEANS, seed=2, wells=wells)
        row = pick(measure(generated, real), "frechet_distance", "generated-real")
        assert row["settings"]["interval"] == f"linearised, wells within conditions as units{said}"
