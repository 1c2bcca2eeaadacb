import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.distances.comparison import AT_FLOOR, COMPARISON_SCHEMA, compare
from morphpipe.evaluation.distances.paired_tests import (
    paired_tests,
    power_of_paired_test,
    smallest_effect,
)
from morphpipe.tables.metric_table import metric_row, metric_table

# Student's own data (Biometrika 6:1, 1908): additional hours of sleep of ten patients under two
# drugs. What R's t.test prints of its data set `sleep`.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
NAMES = [f"p{i}" for i in range(10)]


def rows_of(experiment, values, *, metric="FID", seeds=((0, 0),), size=100, groups=None, **columns):
    """Rows of one experiment: by perturbation, a value for each seed, or a reason."""
    common = {"dataset": "d", "experiment": experiment, "generator": "g", "extractor": "inception",
              "view": "rgb", "cell_type": "all", "metric": metric} | columns  # fmt: skip
    rows = []
    for name, value in values.items():
        known = common | {"perturbation": name}
        rows.append(metric_row(**known, comparison="real-real", value=1.0))
        for i, (training, sampling) in enumerate(seeds):
            one = value[i] if isinstance(value, list) else value
            rows.append(
                metric_row(
                    **known, comparison="generated-real@floor-n", training_seed=training,
                    sampling_seed=sampling, n_left=size, n_right=size,
                    value=None if isinstance(one, str) else one,
                    settings={"reason": one} if isinstance(one, str) else {},
                )
            )  # fmt: skip
    for group, names in (groups or {}).items():
        known = common | {
            "perturbation": group,
            "group": group,
            "settings": {"perturbations": names},
        }
        rows.append(metric_row(**known, comparison="generated-real@floor-n", value=1e6))
    # What is pooled over perturbations is no perturbation.
    rows.append(
        metric_row(**common, perturbation="all", comparison="generated-real@floor-n", value=1e6)
    )
    return rows


def table(*parts):
    return metric_table([row for part in parts for row in part]).to_pandas()


def run(model, baseline, **settings):
    settings = {"comparison": AT_FLOOR, "metrics": None, "encoders": None} | settings
    found = compare(model, baseline, **settings)
    assert found.schema.equals(COMPARISON_SCHEMA)
    return found.to_pandas()


@pytest.fixture
def sleep():
    return (
        table(rows_of("new", dict(zip(NAMES, FIRST, strict=True)))),
        table(rows_of("old", dict(zip(NAMES, SECOND, strict=True)))),
    )


def test_the_tests_of_students_data(sleep):
    (row,) = run(*sleep).to_dict("records")
    assert (row["model"], row["baseline"], row["group"]) == ("new", "old", "all")
    assert row["perturbations"] == 10
    assert row["mean_model"] == pytest.approx(0.75)
    assert row["mean_baseline"] == pytest.approx(2.33)
    assert row["mean_floor"] == 1.0
    assert row["difference"] == pytest.approx(-1.58)
    assert row["paired_t"] == pytest.approx(-4.0621, abs=5e-5)
    assert row["paired_df"] == 9
    assert row["paired_p"] == pytest.approx(0.002833, abs=5e-7)
    assert row["ci_low"] == pytest.approx(-2.4598858, abs=5e-8)
    assert row["ci_high"] == pytest.approx(-0.7001142, abs=5e-8)
    assert row["welch_t"] == pytest.approx(-1.8608, abs=5e-5)
    assert row["welch_df"] == pytest.approx(17.776, abs=5e-4)
    assert row["welch_p"] == pytest.approx(0.07939, abs=5e-6)
    assert row["student_t"] == pytest.approx(-1.8608, abs=5e-5)
    assert row["student_df"] == 18
    assert row["student_p"] == pytest.approx(0.07919, abs=5e-6)
    deviation = np.subtract(FIRST, SECOND).std(ddof=1)
    assert row["smallest_difference"] == pytest.approx(deviation * smallest_effect(10))
    assert row["reason"] is None or pd.isna(row["reason"])
    assert row["pairs"][0] == {"perturbation": "p0", "model": 0.7, "baseline": 1.9, "floor": 1.0}


def test_power_is_that_of_the_definition():
    # Given the estimated deviation, the mean is normal: no noncentral t is needed.
    for pairs, effect, alpha in ((3, 1.2, 0.05), (14, 0.7, 0.05), (98, 0.3, 0.01)):
        freedom = pairs - 1
        critical = stats.t.ppf(1 - alpha / 2, freedom)

        def beyond(square, shift=effect * pairs**0.5, freedom=freedom, critical=critical):
            edge = critical * (square / freedom) ** 0.5
            tails = stats.norm.sf(edge - shift) + stats.norm.cdf(-edge - shift)
            return tails * stats.chi2.pdf(square, freedom)

        expected = integrate.quad(beyond, 0, np.inf, epsabs=1e-10)[0]
        assert power_of_paired_test(pairs, effect, alpha=alpha) == pytest.approx(expected, abs=1e-7)
    assert power_of_paired_test(20, 0.0) == pytest.approx(0.05)
    assert power_of_paired_test(20, -0.4) == power_of_paired_test(20, 0.4)
    # Far out as well, where scipy's distribution function fails.
    for pairs in (3, 30, 300, 1107):
        powers = [power_of_paired_test(pairs, effect) for effect in np.linspace(0, 3, 40)]
        assert (np.diff(powers) >= -1e-12).all()
        assert powers[-1] > (0.6 if pairs == 3 else 1 - 1e-9)
        assert power_of_paired_test(pairs, smallest_effect(pairs)) == pytest.approx(0.8)


def test_smallest_effect_of_the_literature():
    # R's pwr.t.test(d = 0.5, power = 0.8, type = "paired") gives n = 33.36713.
    assert smallest_effect(33) > 0.5 > smallest_effect(34)
    between = np.interp(33.36713, [33, 34], [smallest_effect(33), smallest_effect(34)])
    assert between == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("pairs", [3, 8])
def test_smallest_effect_is_found_in_four_of_five_samples(pairs):
    number = 20_000
    drawn = np.random.default_rng(pairs).normal(smallest_effect(pairs), 1, (number, pairs))
    found = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
    # Four standard errors of a share of 0.8 in so many samples.
    assert found == pytest.approx(0.8, abs=4 * (0.8 * 0.2 / number) ** 0.5)


def test_seeds_are_averaged_first_and_pairs_are_matched_by_name():
    values = {"p0": [1.0, 3.0], "p1": [2.0, 2.0], "p2": [5.0, 1.0]}
    model = table(rows_of("new", values, seeds=((0, 0), (0, 1))))
    baseline = table(rows_of("old", {"p2": 4.0, "p1": 3.0, "p0": 2.5}))
    (row,) = run(model, baseline).to_dict("records")
    pairs = {p["perturbation"]: (p["model"], p["baseline"]) for p in row["pairs"]}
    assert pairs == {"p0": (2.0, 2.5), "p1": (2.0, 3.0), "p2": (3.0, 4.0)}
    assert (row["seeds_model"], row["seeds_baseline"]) == (2, 1)
    expected = stats.ttest_rel([2.0, 2.0, 3.0], [2.5, 3.0, 4.0])
    assert row["paired_p"] == pytest.approx(expected.pvalue)


def test_what_cannot_be_compared_is_named():
    model = rows_of("new", {"a": 1.0, "b": 2.0, "c": 4.0, "d": "9 images", "e": 3.0})
    model += rows_of("new", {"f": 2.0}, size=50)
    baseline = rows_of("old", {"a": 2.0, "b": 2.5, "c": 4.5, "d": 1.0, "f": 1.0, "g": 1.0})
    for metric in ("FID", "KID"):
        parts = [[r | {"metric": metric} for r in rows] for rows in (model, baseline)]
        (row,) = run(*map(table, parts)).to_dict("records")
        left_out = {left["perturbation"]: left["reason"] for left in row["left_out"]}
        assert left_out["d"] == "new: 9 images"
        assert left_out["e"] == "old: not in its table"
        assert left_out["g"] == "new: not in its table"
        # A kernel distance is unbiased at any number of images.
        assert ("f" in left_out) == (metric == "FID")
        assert row["perturbations"] == (3 if metric == "FID" else 4)
    assert (
        "50 / 50 by new, 100 / 100 by old"
        in run(table(model), table(baseline))["left_out"][0][-2]["reason"]
    )


def test_a_seed_without_a_value_is_not_counted():
    model = table(rows_of("new", {"a": [1.0, "few"], "b": [2.0, 4.0], "c": [3.0, 3.0]},
                          seeds=((0, 0), (0, 1))))  # fmt: skip
    (row,) = run(model, table(rows_of("old", {"a": 2.0, "b": 2.0, "c": 3.5}))).to_dict("records")
    assert row["pairs"][0]["model"] == 1.0
    assert row["seeds_model"] == 1


def test_groups_are_tested_for_themselves():
    groups = {"moa: x": ["p0", "p1"], "moa: y": ["p2", "p3", "p4"],
              "distribution: in": NAMES[:7], "distribution: out": NAMES[7:]}  # fmt: skip
    model = table(rows_of("new", dict(zip(NAMES, FIRST, strict=True)), groups=groups))
    baseline = table(rows_of("old", dict(zip(NAMES, SECOND, strict=True))))
    found = run(model, baseline).set_index("group")
    assert list(found.index) == ["all", "distribution: in", "distribution: out", "moa: x", "moa: y"]
    assert found["perturbations"].tolist() == [10, 7, 3, 2, 3]
    few = found.loc["moa: x"]
    assert few["reason"] == "2 perturbations, fewer than 3"
    assert np.isnan(few["paired_p"])
    assert few["difference"] == pytest.approx(np.mean(np.subtract(FIRST[:2], SECOND[:2])))
    expected = stats.ttest_rel(FIRST[7:], SECOND[7:])
    assert found.loc["distribution: out", "paired_t"] == pytest.approx(expected.statistic)


def test_experiments_that_saw_different_perturbations_are_not_compared(sleep):
    values = dict(zip(NAMES, FIRST, strict=True))
    sides = {"distribution: in": NAMES[:5], "distribution: out": NAMES[5:]}
    model = table(rows_of("new", values, groups=sides))
    turned = {"distribution: out": NAMES[:5], "distribution: in": NAMES[5:]}
    with pytest.raises(DataError, match="'p0' was seen in the training of one"):
        run(model, table(rows_of("old", values, groups=turned)))


def test_cell_types_metrics_and_encoders():
    def both(experiment, values):
        parts = []
        for cell_type in ("all", "A", "B"):
            for metric in ("FID", "KID", "relative_FID"):
                parts += rows_of(experiment, values, cell_type=cell_type, metric=metric)
        return table(
            parts, rows_of(experiment, values, extractor="resnet", metric="frechet_distance")
        )

    new, old = (
        both("new", {"a": 1.0, "b": 2.0, "c": 3.5}),
        both("old", {"a": 2.0, "b": 2.5, "c": 4.0}),
    )
    found = run(new, old)
    assert len(found) == 3 * 3 + 1
    assert (found.loc[found["metric"] == "relative_FID", "mean_floor"] == 1).all()
    assert len(run(new, old, metrics=("KID",))) == 3
    assert len(run(new, old, encoders=("resnet",))) == 1
    with pytest.raises(DataError, match=r"metric 'MMD'.*FID, KID"):
        run(new, old, metrics=("MMD",))
    # A single cell type says nothing that all do not say.
    single = [t[t["cell_type"] != "B"] for t in (new, old)]
    assert set(run(*single)["cell_type"]) == {"all"}


def test_the_floor_of_all_images_has_other_numbers():
    def at_all(experiment, values, metric):
        rows = rows_of(experiment, values, metric=metric)
        for row in rows:
            if row["comparison"] != "real-real":
                row["comparison"] = "generated-real"
        return rows

    values = {"a": 1.0, "b": 2.0, "c": 4.0}
    tables = [
        table(at_all(name, {k: v * factor for k, v in values.items()}, "FID"),
              at_all(name, {k: v * factor for k, v in values.items()}, "KID"))
        for name, factor in (("new", 1.0), ("old", 1.5))
    ]  # fmt: skip
    found = run(*tables, comparison="generated-real").set_index("metric")["mean_floor"]
    assert np.isnan(found["FID"])
    assert found["KID"] == 1.0


def test_no_test_where_nothing_varies():
    same = paired_tests([1.0, 2.0, 4.0], [1.5, 2.5, 4.5])
    assert same == {"reason": "the difference is the same for every perturbation"}
    assert "fewer than 3" in paired_tests([], [])["reason"]


def test_tables_of_other_experiments_are_refused(sleep):
    model, baseline = sleep
    with pytest.raises(DataError, match="2 experiments"):
        run(pd.concat([model, baseline]), baseline)
    with pytest.raises(DataError, match="two experiments on the same split"):
        run(model, model)
    with pytest.raises(DataError, match="on e: two experiments"):
        run(model, baseline.assign(dataset="e"))
    with pytest.raises(DataError, match="nothing can be compared"):
        run(model, baseline, comparison="generated-real")
