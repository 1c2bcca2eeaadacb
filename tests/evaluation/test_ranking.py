import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.evaluation.distances.kernel import unbiased_mmd
from morphpipe.evaluation.distances.ranking import (
    RANKING_SCHEMA,
    Cohort,
    blocks,
    distances,
    rank_of_own,
    rank_rows,
    ranking_table,
)
from morphpipe.evaluation.distances.ranking_summary import ranking_summary

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}
NAMES = ["a", "b", "c", "d"]
MEANS = {("A", name): 3.0 * i for i, name in enumerate(NAMES)}


def ranked(generated, real, **settings):
    settings = {"cohorts": None, "minimum_images": 16, "seed": 2020} | settings
    rows = rank_rows(generated, real, context=CONTEXT, **settings)
    table = ranking_table(rows)
    assert table.schema.equals(RANKING_SCHEMA)
    return table.to_pandas()


@pytest.mark.parametrize(("n", "m", "width"), [(5, 9, 30), (40, 25, 12), (16, 16, 16)])
def test_pairs_have_the_distances_of_the_metric_table(n, m, width):
    generator = np.random.default_rng(n)
    # Far from the origin, as features after a rectifier are.
    x = generator.gamma(2, 1, (n, width)).astype(np.float32)
    y = generator.gamma(2, 1.3, (m, width)).astype(np.float32) + 0.5
    frechet, kernel = distances(Cohort.of(x), Cohort.of(y))
    assert frechet == pytest.approx(frechet_distance(x, y), rel=1e-10)
    assert kernel == pytest.approx(unbiased_mmd(x, y), rel=1e-10, abs=1e-12)
    assert distances(Cohort.of(x), Cohort.of(x))[0] == pytest.approx(0, abs=1e-9)


def test_equal_distances_share_their_ranks():
    assert rank_of_own({"a": 1.0, "b": 2.0, "c": 3.0}, "b") == 2
    assert rank_of_own({"a": 1.0, "b": 2.0, "c": 2.0}, "b") == 2.5
    values = np.random.default_rng(0).integers(0, 5, 20).astype(float)
    found = {str(i): value for i, value in enumerate(values)}
    expected = stats.rankdata(values)
    assert [rank_of_own(found, str(i)) for i in range(20)] == expected.tolist()


def test_own_cohort_is_first_where_the_condition_is_obeyed(make_features):
    generated = make_features(MEANS, seed=1, origin="generated", seeds=(3, 4))
    real = make_features(MEANS, seed=2)
    table = ranked(generated, real)
    assert set(table["metric"]) == {"frechet_distance", "kernel_distance"}
    assert len(table) == 2 * len(NAMES)
    assert (table["rank"] == 1).all()
    assert (table["best_cohort"] == table["perturbation"]).all()
    assert (table["best_distance"] == table["distance"]).all()
    assert (table["cohorts"] == 4).all()
    assert (table["expected_rank"] == 2.5).all()
    assert (table["expected_top1"] == 0.25).all()
    assert (table[["training_seed", "sampling_seed"]] == [3, 4]).all().all()
    one = table.query("perturbation == 'b' and metric == 'frechet_distance'").iloc[0]
    of_b = [s.features[s.column("perturbation") == "b"] for s in (generated, real)]
    assert one["distance"] == pytest.approx(frechet_distance(*of_b))
    assert (one["n_generated"], one["n_real"]) == (32, 32)


def test_ranks_follow_the_distances_when_labels_are_moved(make_features):
    real = make_features(MEANS, seed=2)
    made = make_features(MEANS, seed=1, origin="generated")
    moved = {"a": "b", "b": "c", "c": "d", "d": "a"}
    keys = made.keys.assign(perturbation=made.keys["perturbation"].map(moved))
    table = ranked(FeatureSet(keys, made.features, "test", "rgb"), real).query(
        "metric == 'frechet_distance'"
    )
    # What was made of "a" now claims to be "b": "a" is nearest, then "b"; and so on.
    found = table.set_index("perturbation")
    assert found["best_cohort"].to_dict() == {"b": "a", "c": "b", "d": "c", "a": "d"}
    assert found.loc["b", "rank"] == 2
    assert found.loc["a", "rank"] == 4


def test_cohorts_are_brought_to_one_size(make_features):
    parts = [
        make_features({("A", "a"): 0.0}, seed=1, wells=12),
        make_features({("A", "b"): 1.0}, seed=2, wells=5),
        make_features({("A", "c"): 2.0}, seed=3, wells=8),
        make_features({("A", "few"): 3.0}, seed=4, wells=2),
    ]
    real = FeatureSet(
        pd.concat([p.keys for p in parts]),
        np.concatenate([p.features for p in parts]),
        "test",
        "rgb",
    )
    means = {("A", name): i for i, name in enumerate(["a", "b", "c", "few", "new"])}
    generated = make_features(means, seed=5, origin="generated")
    table = ranked(generated, real).query("metric == 'frechet_distance'").set_index("perturbation")
    assert (table["n_real"] == 20).all()
    assert table.loc["few", "reason"] == "8 real images of it, fewer than the minimum of 16"
    assert table.loc["new", "reason"].startswith("0 real images of it")
    assert table.loc[["few", "new"], ["rank", "cohorts", "distance"]].isna().all().all()
    assert (table.loc[["a", "b", "c"], "cohorts"] == 3).all()
    settings = json.loads(table.loc["a", "settings"])
    assert (settings["cohorts_there_are"], settings["cohorts_with_too_few_images"]) == (3, 1)
    # The others are whole; another seed draws other images of "a".
    again = ranked(generated, real, seed=7).query("metric == 'frechet_distance'")
    again = again.set_index("perturbation")
    assert again.loc["b", "distance"] == table.loc["b", "distance"]
    assert again.loc["a", "distance"] != table.loc["a", "distance"]


def test_too_few_generated_images_and_a_cohort_alone(make_features):
    real = make_features(MEANS, seed=2)
    few = make_features(MEANS, seed=1, origin="generated", wells=2)
    table = ranked(few, real)
    assert (table["reason"] == "8 generated images, fewer than the minimum of 16").all()
    alone = make_features({("A", "a"): 0.0}, seed=2)
    table = ranked(make_features({("A", "a"): 0.0}, seed=1, origin="generated"), alone)
    assert set(table["reason"]) == {"there is no other cohort to rank it among"}


def test_cell_types_are_ranked_apart(make_features):
    # Of the other cell type the cohorts are nearer: they are not looked at.
    means = MEANS | {("B", name): 3.0 * i + 0.2 for i, name in enumerate(NAMES)}
    generated = make_features(means, seed=1, origin="generated")
    table = ranked(generated, make_features(means, seed=2))
    assert len(table) == 2 * 2 * len(NAMES)
    assert (table["cohorts"] == 4).all()
    assert set(table["cell_type"]) == {"A", "B"}


def test_blocks_together_are_the_whole(make_features):
    generated = make_features(MEANS, seed=1, origin="generated")
    real = make_features({**MEANS, ("A", "e"): 1.0}, seed=2)
    whole = ranked(generated, real, cohorts=3)
    parts = blocks(NAMES, 3)
    assert sorted(name for part in parts for name in part) == NAMES
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    joined = pd.concat(
        ranked(generated.select(np.isin(generated.column("perturbation"), part)), real, cohorts=3)
        for part in parts
    )
    pd.testing.assert_frame_equal(joined.reset_index(drop=True), whole)
    assert [len(part) for part in blocks(["a"], 3)] == [1, 0, 0]


def test_a_sample_of_cohorts_holds_the_own_one(make_features):
    many = {("A", f"p{i}"): 0.1 * i for i in range(12)}
    generated, real = make_features(many, seed=1, origin="generated"), make_features(many, seed=2)
    everything = ranked(generated, real)
    table = ranked(generated, real, cohorts=5)
    assert (table["cohorts"] == 5).all()
    # The own cohort is in: its distance is that among all of them.
    assert table["distance"].tolist() == everything["distance"].tolist()
    assert (table["rank"] <= everything["rank"]).all()
    assert (table["best_distance"] >= everything["best_distance"]).all()
    assert ranked(generated, real, cohorts=5, seed=3)["rank"].tolist() != table["rank"].tolist()
    assert ranked(generated, real, cohorts=99)["rank"].tolist() == everything["rank"].tolist()


def test_seeds_have_rows_of_their_own(make_features):
    parts = [make_features(MEANS, seed=i, origin="generated", seeds=(0, i)) for i in (0, 1)]
    both = FeatureSet(
        pd.concat([p.keys for p in parts]),
        np.concatenate([p.features for p in parts]),
        "test",
        "rgb",
    )
    table = ranked(both, make_features(MEANS, seed=5))
    assert table.groupby("sampling_seed").size().to_dict() == {0: 8, 1: 8}


def test_inception_features_give_fid_and_kid(make_features):
    generated = make_features(MEANS, seed=1, origin="generated", extractor="inception")
    real = make_features(MEANS, seed=2, extractor="inception")
    assert set(ranked(generated, real)["metric"]) == {"FID", "KID"}
    with pytest.raises(DataError, match="needs generated images on one side"):
        ranked(real, real)
    with pytest.raises(DataError, match="needs generated images on one side"):
        ranked(generated, generated)
    with pytest.raises(DataError, match="other on view"):
        ranked(generated, make_features(MEANS, seed=2, extractor="other"))


def ranks(values, cohorts=10, **columns):
    """A ranking table with these ranks of p0, p1, …"""
    rows = [
        CONTEXT | {"metric": "FID", "extractor": "inception", "view": "rgb", "cell_type": "A",
         "perturbation": f"p{i}", "rank": rank, "cohorts": None if rank is None else cohorts,
         "expected_rank": None if rank is None else (cohorts + 1) / 2, "settings": "{}"} | columns
        for i, rank in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(ranking_table(rows).to_pandas())


def summary_of(table):
    return ranking_summary(table).set_index(["cell_type", "statistic"])


def test_summary_by_hand():
    found = summary_of(ranks([1.0, 2.0, 1.0, 6.0, None])).loc["all"]
    assert found["value"].to_dict() == {"mean_rank": 2.5, "median_rank": 1.5, "top1": 0.5,
                                        "top5": 0.75}  # fmt: skip
    assert found["chance"].to_dict() == {"mean_rank": 5.5, "median_rank": 5.5, "top1": 0.1,
                                         "top5": 0.5}  # fmt: skip
    assert (found["perturbations"] == 4).all()
    assert (found["without_rank"] == 1).all()
    assert (found["cohorts"] == 10).all()
    # Wilson's interval of 2 in 4.
    assert found.loc["top1", "ci_low"] == pytest.approx(0.1500, abs=1e-4)
    assert found.loc["top1", "ci_high"] == pytest.approx(0.8500, abs=1e-4)


def test_interval_of_the_mean_rank_has_the_classical_width():
    values = np.random.default_rng(1).integers(1, 101, 300).astype(float)
    row = summary_of(ranks(values, cohorts=100)).loc[("all", "mean_rank")]
    expected = stats.norm.interval(0.95, values.mean(), values.std(ddof=1) / 300**0.5)
    # 1,000 replicates: quantiles are uncertain by some 4 % of the width of 6.5.
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], expected, atol=0.4)


def test_seeds_and_cell_types_are_averaged_before_perturbations_count():
    table = pd.concat(
        [
            ranks([1.0, 5.0], sampling_seed=0),
            ranks([3.0, 7.0], sampling_seed=1),
            ranks([2.0, 4.0], cohorts=5, cell_type="B", sampling_seed=0),
        ]
    )
    found = ranking_summary(table)
    assert found["cell_type"].drop_duplicates().tolist() == ["all", "A", "B"]
    values = found.set_index(["cell_type", "statistic"])["value"]
    assert values["A", "mean_rank"] == 4.0
    assert values["B", "mean_rank"] == 3.0
    # p0: 1, 3 and 2; p1: 5, 7 and 4.
    assert values["all", "mean_rank"] == pytest.approx((2 + 16 / 3) / 2)
    assert values["all", "top1"] == pytest.approx((1 / 3 + 0) / 2)
    assert (found["perturbations"] == 2).all()


def test_nothing_ranked_is_said():
    found = summary_of(ranks([None, None])).loc["all"]
    assert found["value"].isna().all()
    assert (found["without_rank"] == 2).all()
    assert np.isnan(summary_of(ranks([3.0])).loc[("all", "mean_rank"), "ci_low"])
