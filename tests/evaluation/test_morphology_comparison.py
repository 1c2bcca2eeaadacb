"""All measures together, on a small screen whose effects are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.morphology.comparison import compare_morphology
from morphpipe.evaluation.morphology.sets import MorphologySettings
from morphpipe.morphology.profiles import Profiles, feature_columns
from morphpipe.morphology.recipes import Recipe
from morphpipe.tables.metric_table import metric_table
from morphpipe.tables.schemas import MATCHED

from .morphology_data import screen

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}
FEW = MorphologySettings(3, "pearson", "mean", (42, 43, 44), 10, 2020, permutations=20, folds=2)
# Features as they are, on real controls: results can be followed by hand.
PLAIN = Recipe("plain", "controls", "standardize", (), ())


def table_of(tables):
    frame = metric_table(tables.rows).to_pandas()
    frame["notes"] = frame["settings"].map(json.loads)
    return frame


def value(frame, metric, comparison=None, view="plain", **columns):
    chosen = (frame["metric"] == metric) & (frame["view"] == view)
    wanted = {"cell_type": "all", "perturbation": "all"} | columns
    if comparison is not None:
        wanted["comparison"] = comparison
    for name, what in wanted.items():
        chosen &= frame[name] == what
    rows = frame[chosen]
    assert len(rows) == 1, rows[["metric", "comparison", "cell_type", "perturbation"]]
    return rows.iloc[0]


def compare(real, generated, training=None, recipes=(PLAIN,), settings=FEW, **options):
    return compare_morphology(
        real, generated, training, recipes=recipes, context=CONTEXT, settings=settings, **options
    )


@pytest.fixture(scope="module")
def good():
    """Generated fields are drawn like real ones."""
    return compare(screen("real", seed=0, strength=4), screen("generated", seed=1, strength=4))


@pytest.fixture(scope="module")
def flat():
    """Generated fields show no effect at all."""
    return compare(screen("real", seed=0, strength=4), screen("generated", seed=1, strength=0))


def test_a_perfect_generator_reaches_the_floor(good):
    frame = table_of(good)
    for metric in ("profile_correlation", "feature_correlation_agreement"):
        generated, floor = (value(frame, metric, c) for c in ("generated-real", "real-real"))
        assert generated["value"] == pytest.approx(floor["value"], abs=0.03)
        assert floor["value"] > 0.95
        assert generated["n_left"] == floor["n_left"] or metric == "profile_correlation"
    rms = [value(frame, "feature_correlation_rms", c)["value"] for c in
           ("generated-real", "real-real")]  # fmt: skip
    # Over many screens the two agree to 0.004; in a single one they scatter by some 0.02.
    assert rms[0] == pytest.approx(rms[1], abs=0.06)
    shuffled = value(frame, "profile_correlation", "shuffled-real")["value"]
    assert shuffled < 0.5


def test_a_generator_without_effects_is_found_out(flat, good):
    frame = table_of(flat)
    assert value(frame, "profile_correlation", "generated-real")["value"] < 0.5
    assert value(frame, "profile_correlation", "real-real")["value"] > 0.95
    columns = {"task": "perturbation"}
    real = value(frame, "cluster_adjusted_rand", "real", **columns)
    assert real["value"] > 0.8
    generated = value(frame, "cluster_adjusted_rand", "generated", **columns)
    assert generated["value"] < generated["notes"]["chance_95"] + 0.1
    assert value(frame, "cluster_adjusted_rand", "generated-real", **columns)["value"] < 0.1
    assert value(frame, "label_silhouette", "generated", **columns)["value"] < 0.05
    by_regime = value(frame, "accuracy", task="perturbation", regime="generated-real")
    assert by_regime["value"] < 0.5
    of_good = table_of(good)
    for regime in ("real-real", "generated-generated", "generated-real"):
        for metric in ("accuracy", "macro_f1"):
            row = value(of_good, metric, task="perturbation", regime=regime)
            assert row["value"] > 0.9


def test_mechanisms_are_told_by_other_compounds(good, flat):
    of_good, of_flat = table_of(good), table_of(flat)
    columns = {"task": "mechanism"}
    for comparison in ("real-real", "generated-real"):
        row = value(of_good, "nearest_mechanism_accuracy", comparison, **columns)
        assert row["value"] == 1
        assert row["n_left"] == 4
        assert row["notes"]["chance"] == pytest.approx(1 / 3)
    # Generated fields name no mechanism; that of the real perturbation is theirs.
    row = value(of_good, "cluster_adjusted_rand", "generated-real", task="mechanism")
    assert row["value"] > 0.9
    assert value(of_flat, "nearest_mechanism_accuracy", "real-real", **columns)["value"] == 1


def test_without_mechanisms_there_is_a_reason():
    real = screen("real", seed=0, mechanisms=None)
    frame = table_of(compare(real, screen("generated", seed=1)))
    for metric in ("nearest_mechanism_accuracy", "cluster_adjusted_rand"):
        row = value(frame, metric, "generated-real", task="mechanism")
        assert math.isnan(row["value"])
        assert "mechanism" in row["notes"]["reason"]


def test_profile_correlations_are_pearsons():
    # One split half of two wells of one field each: mean profiles are single fields.
    real = screen("real", seed=0, wells=2, fields=1)
    generated = screen("generated", seed=1, wells=1, fields=1)
    tables = compare(real, generated, settings=replace(FEW, floor_repeats=1))
    frame = table_of(tables)
    controls = real.table["Metadata_control"] == "negative"
    features = [name for name in feature_columns(real.table) if not name.startswith("Image")]
    features.append("Image_Count_Nuclei")
    # Fewer than twenty controls: the scale is of all real fields.
    assert controls.sum() < 20
    basis = real.table[features]

    def normalised(profiles):
        return (profiles.table[features] - basis.mean()) / basis.std(ddof=0)

    left = normalised(real)[real.table["Metadata_perturbation"] == "a"].to_numpy()
    expected = stats.pearsonr(left[0], left[1]).statistic
    row = value(frame, "profile_correlation", "real-real", perturbation="a", cell_type="U2OS")
    assert row["value"] == pytest.approx(expected, abs=1e-5)
    assert row["n_left"] == 1
    right = normalised(generated)[generated.table["Metadata_perturbation"] == "a"].to_numpy()[0]
    expected = np.mean([stats.pearsonr(right, one).statistic for one in left])
    row = value(frame, "profile_correlation", "generated-real", perturbation="a", cell_type="U2OS")
    assert row["value"] == pytest.approx(expected, abs=1e-5)
    # The ranks of the same profiles, by scipy.
    settings = replace(FEW, floor_repeats=1, correlation="spearman")
    frame = table_of(compare(real, generated, settings=settings))
    row = value(frame, "profile_correlation", "real-real", perturbation="a", cell_type="U2OS")
    expected = stats.spearmanr(left[0], left[1]).statistic
    assert row["value"] == pytest.approx(expected, abs=1e-5)


def test_profile_correlations_may_be_of_ranks_beside_the_lowest_of_the_halves():
    real, generated = screen("real", seed=0), screen("generated", seed=1)
    frames = {
        name: table_of(compare(real, generated, settings=replace(FEW, **options)))
        for name, options in (
            ("pearson", {}),
            ("ranks", {"correlation": "spearman"}),
            ("lowest", {"correlation_floor": "minimum"}),
            ("once", {"correlation_floor": "minimum", "floor_repeats": 1}),
            ("once-mean", {"floor_repeats": 1}),
        )
    }
    chosen = {"perturbation": "a", "cell_type": "U2OS"}

    def of(name, comparison):
        return value(frames[name], "profile_correlation", comparison, **chosen)

    for comparison in ("generated-real", "real-real"):
        ranks, pearson = of("ranks", comparison), of("pearson", comparison)
        assert ranks["notes"]["correlation"] == "spearman"
        assert ranks["value"] != pearson["value"]
        assert ranks["value"] == pytest.approx(pearson["value"], abs=0.25)
        assert math.isnan(ranks["ci_low"])
        assert not math.isnan(pearson["ci_low"])
    assert of("lowest", "real-real")["value"] < of("pearson", "real-real")["value"]
    assert of("lowest", "generated-real")["value"] == of("pearson", "generated-real")["value"]
    assert of("once", "real-real")["value"] == pytest.approx(of("once-mean", "real-real")["value"])


def test_the_control_is_no_profile_where_it_is_the_centre(good):
    frame = table_of(good)
    row = value(frame, "profile_correlation", "generated-real")
    assert row["notes"]["mean_over"] == 4
    parts = [
        value(frame, "profile_correlation", "generated-real", perturbation=name)["value"]
        for name in "abcd"
    ]
    assert row["value"] == pytest.approx(np.mean(parts))
    # Its own mean profile is noise, and correlates with nothing.
    control = value(frame, "profile_correlation", "real-real", perturbation="control")
    assert control["value"] < row["value"] - 0.3


def test_matching_removes_what_comes_from_the_number_of_cells():
    # Generated fields differ in nothing but their number of cells, which every feature follows.
    real = screen("real", seed=0, wells=20, crowding=0.1)
    generated = screen("generated", seed=1, wells=20, crowding=0.1, cells=68)
    tables = compare(real, generated)
    parts = {
        (part["comparison"].iloc[0], part["matched"].iloc[0]): part for part in tables.differences
    }
    assert set(parts) == {
        (kind, matched)
        for kind in ("generated-real", "real-real")
        for matched in ("condition", "cell count")
    }
    size = {key: part["cliffs_delta"].abs().median() for key, part in parts.items()}
    found = {key: (part["p_corrected"] < 0.05).mean() for key, part in parts.items()}
    assert size["generated-real", "condition"] > 0.2
    assert found["generated-real", "condition"] > 0.9
    assert size["generated-real", "cell count"] < 0.1
    assert found["generated-real", "cell count"] < 0.1
    assert size["real-real", "condition"] < 0.1
    frame = table_of(tables)
    counts = [
        value(frame, "mean_cell_count", comparison, view=view)["value"]
        for view in ("plain", f"plain{MATCHED}")
        for comparison in ("real", "generated")
    ]
    assert counts[1] - counts[0] > 6
    assert abs(counts[3] - counts[2]) < 1
    # Every measure stands in both views.
    measured = frame[frame["metric"] != "selected_features"].groupby("view")["metric"].unique()
    assert set(measured["plain"]) - set(measured[f"plain{MATCHED}"]) == {"fields_without_cells"}


def test_both_sides_have_as_many_fields_of_every_condition():
    real = screen("real", seed=0)
    generated = screen("generated", seed=1, wells=3)
    for part in compare(real, generated).differences:
        assert (part["n_real"] == part["n_generated"]).all()


def test_every_pair_of_seeds_is_compared_on_its_own():
    parts = [screen("generated", seed=seed, seeds=(seed, 7), wells=4) for seed in (1, 2)]
    both = replace(parts[0], table=pd.concat([part.table for part in parts], ignore_index=True))
    real = screen("real", seed=0, wells=4)
    frame = table_of(compare(real, both))
    alone = table_of(compare(real, parts[1]))
    own = frame[frame["training_seed"] == 2].reset_index(drop=True)
    assert set(frame["training_seed"]) == {1, 2}
    pd.testing.assert_frame_equal(
        own.drop(columns="notes"), alone.drop(columns="notes"), check_dtype=False
    )


def test_cell_types_are_told_apart_before_they_are_averaged():
    both = {"cell_types": ("HUVEC", "U2OS"), "strength": 4}
    real, generated = screen("real", seed=0, **both), screen("generated", seed=1, **both)
    # Cells of one type look altogether different, on both sides.
    for part in (real, generated):
        features = feature_columns(part.table)[:-1]
        rows = part.table["Metadata_cell_type"] == "HUVEC"
        part.table.loc[rows, features] += 100 * np.random.default_rng(3).normal(size=len(features))
    frame = table_of(compare(real, generated))
    shuffled = value(frame, "profile_correlation", "shuffled-real")
    assert shuffled["value"] < 0.5
    whole = value(frame, "profile_correlation", "generated-real", perturbation="a")
    parts = [
        value(frame, "profile_correlation", "generated-real", perturbation="a", cell_type=name)
        for name in both["cell_types"]
    ]
    assert whole["value"] == pytest.approx(np.mean([part["value"] for part in parts]))
    rand = [
        value(frame, "cluster_adjusted_rand", "real", task="perturbation", cell_type=name)["value"]
        for name in both["cell_types"]
    ]
    mean = value(frame, "cluster_adjusted_rand", "real", task="perturbation")["value"]
    assert mean == pytest.approx(np.mean(rand))
    assert min(rand) > 0.5


def test_training_fields_train_and_are_fitted_on():
    real = screen("real", seed=0, wells=3)
    training = screen("real", seed=5, batch="b1")
    frame = table_of(compare(real, screen("generated", seed=1), training))
    row = value(frame, "accuracy", task="perturbation", regime="real-real")
    assert (row["n_left"], row["n_right"]) == (120, 45)
    notes = value(frame, "selected_features")["notes"]
    assert notes["fitted_on"] == "24 real negative controls"
    with_shared = table_of(compare(training, screen("generated", seed=1), training))
    row = with_shared[(with_shared["metric"] == "accuracy")].iloc[0]
    assert "wells are among both" in row["notes"]["reason"]


def test_a_single_well_has_no_floor_and_says_so():
    real = screen("real", seed=0, wells=1, fields=6)
    real.table["Metadata_well"] = "A01"
    one = Profiles(
        real.table[real.table["Metadata_perturbation"] == "control"].reset_index(drop=True),
        real.source,
    )
    frame = table_of(compare(one, screen("generated", seed=1)))
    floor = value(frame, "feature_correlation_agreement", "real-real")
    assert math.isnan(floor["value"])
    assert "single well" in floor["notes"]["reason"]
    assert value(frame, "feature_correlation_agreement", "generated-real")["n_right"] == 6
    row = value(frame, "profile_correlation", "real-real", perturbation="control")
    assert math.isnan(row["value"])
    # What can be had without a floor is there.
    row = value(
        frame, "profile_correlation", "generated-real", perturbation="control", cell_type="U2OS"
    )
    assert -1 <= row["value"] <= 1
    assert (row["n_left"], row["notes"]["split_halves"]) == (6, 0)


def test_conditions_of_a_single_well_stay_out_of_means_with_a_floor():
    real = screen("real", seed=0)
    name, well = "Metadata_perturbation", "Metadata_well"
    real.table.loc[real.table[name] == "b", well] = "one"
    frame = table_of(compare(real, screen("generated", seed=1)))
    single = value(frame, "profile_correlation", "generated-real", perturbation="b")
    own = value(frame, "profile_correlation", "generated-real", perturbation="b", cell_type="U2OS")
    assert own["notes"]["split_halves"] == 0
    assert own["n_left"] == 24
    assert own["value"] > 0.9
    assert math.isnan(single["value"])
    assert value(frame, "profile_correlation", "generated-real")["notes"]["mean_over"] == 3


def test_images_without_cells_are_a_result():
    generated = screen("generated", seed=1)
    generated.table["Image_Count_Nuclei"] = 0.0
    tables = compare(screen("real", seed=0), generated)
    frame = table_of(tables)
    assert len(frame) == 1
    assert "0 generated fields have cells" in frame["notes"][0]["reason"]
    assert tables.differences == []


def test_real_and_generated_are_not_mixed_up():
    real, generated = screen("real", seed=0), screen("generated", seed=1)
    with pytest.raises(DataError, match="is not real"):
        compare(generated, generated)
    with pytest.raises(DataError, match="is not generated"):
        compare(real, real)
    other = replace(generated, source=replace(generated.source, pipeline_sha256="1" * 64))
    with pytest.raises(DataError, match="measured differently"):
        compare(real, other)
