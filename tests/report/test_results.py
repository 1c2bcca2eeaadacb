import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.summary import over_seeds, prepare, read_metrics
from morphpipe.report.papers.measured import Metrics
from morphpipe.report.results import (
    distance_points,
    named_cell_type,
    primary_encoder,
    principal_components,
    served_alignment,
)
from morphpipe.report.tables import interval, number, value_cell
from morphpipe.tables.metric_table import metric_row, metric_table

from .conftest import CONTEXT, configuration_of

COMMON = {**CONTEXT, "extractor": "judge", "view": "all", "cell_type": "all", "perturbation": "all"}


def summary_of(rows, folder):
    write_parquet(metric_table(rows), folder / "metrics.parquet")
    return over_seeds(read_metrics([folder / "metrics.parquet"]))


def test_over_seeds_takes_means_of_values_and_limits_and_the_reason(tmp_path):
    rows = [
        metric_row(
            **COMMON, metric="FID", comparison="generated-real", sampling_seed=seed, value=value,
            ci_low=low, ci_high=high, n_left=n, settings={} if value else {"reason": "too few"},
        )
        for seed, value, low, high, n in (
            (0, 2.0, 1.5, 2.6, 30), (1, 4.0, 3.0, 5.0, 20), (2, None, None, None, 4)
        )
    ]  # fmt: skip
    (row,) = summary_of(rows, tmp_path).to_dict("records")
    assert (row["value"], row["ci_low"], row["ci_high"]) == pytest.approx((3.0, 2.25, 3.8))
    low, high = stats.t.interval(0.95, 1, 3.0, stats.sem([2.0, 4.0]))
    assert (row["seeds_low"], row["seeds_high"]) == pytest.approx((low, high))
    assert f"over seeds {number(low)} to {number(high)}" in value_cell(row).note
    assert row["n_left"] == 20, "of the seeds that have a value"
    assert row["reason"] == "1 of 3 seeds have no value: too few"


def test_a_seed_without_an_upper_end_leaves_none(tmp_path):
    rows = [
        metric_row(
            **COMMON, metric="relative_FID", comparison="generated-real@floor-n",
            sampling_seed=seed, value=2.0, ci_low=low, ci_high=high,
        )
        for seed, low, high in ((0, 1.2, 5.0), (1, 1.1, None))
    ]  # fmt: skip
    (row,) = summary_of(rows, tmp_path).to_dict("records")
    assert row["ci_low"] == pytest.approx(1.15)
    assert row["seeds_low"] == row["seeds_high"] == 2.0
    assert np.isnan(row["ci_high"])
    assert interval(row) == "1.15 or more"


def test_report_and_paper_pages_give_the_same_interval(tmp_path):
    columns = {"metric": "FID", "comparison": "generated-real"}
    rows = [
        metric_row(
            **COMMON, **columns, training_seed=training, sampling_seed=sampling,
            value=value, ci_low=low, ci_high=high,
        )
        for training, sampling, value, low, high in (
            (0, 0, 12.0, 7.0, 16.0), (0, 1, 15.0, 13.0, 18.0), (1, 0, 18.0, 16.0, 23.0)
        )
    ]  # fmt: skip
    (row,) = summary_of(rows, tmp_path).to_dict("records")
    tables = {"distances": prepare(metric_table(rows).to_pandas())}
    where = {key: value for key, value in COMMON.items() if key not in CONTEXT}
    cell = Metrics(tables).number("distances", **where, **columns)
    assert (row["value"], row["ci_low"], row["ci_high"]) == pytest.approx((15.0, 12.0, 19.0))
    assert (cell.value, cell.low, cell.high) == pytest.approx((15.0, 12.0, 19.0))
    assert (row["seeds_low"], row["seeds_high"]) == pytest.approx(cell.over_seeds)


def test_multiples_of_the_floor(tmp_path):
    rows = [
        metric_row(**COMMON, metric="frechet_distance", comparison=comparison, value=value,
                   ci_low=value - 1, ci_high=value + 1)
        for comparison, value in (
            ("real-real", 4.0), ("generated-real@floor-n", 6.0), ("copy-real", 5.0)
        )
    ]  # fmt: skip
    rows.append(
        metric_row(**COMMON, metric="relative_frechet_distance", value=1.5, ci_low=1.1, ci_high=1.9,
                   comparison="generated-real@floor-n")
    )  # fmt: skip
    points = distance_points(
        summary_of(rows, tmp_path), metric="frechet_distance", extractor="judge", relative=True
    ).set_index("comparison")
    assert list(points.loc["real-real", ["value", "low", "high"]]) == [1.0, 0.75, 1.25]
    assert list(points.loc["copy-real", ["value", "low", "high"]]) == [1.25, 1.0, 1.5]
    # The ratio's own interval knows that real fields stand above and below the line.
    assert list(points.loc["generated-real@floor-n", ["value", "low", "high"]]) == [1.5, 1.1, 1.9]


@pytest.mark.parametrize("floor", [0.0, -0.2])
def test_no_multiple_of_a_floor_that_is_not_positive(tmp_path, floor):
    rows = [
        metric_row(**COMMON, metric="kernel_distance", comparison=comparison, value=value)
        for comparison, value in (("real-real", floor), ("generated-real@floor-n", 6.0))
    ]
    points = distance_points(
        summary_of(rows, tmp_path), metric="kernel_distance", extractor="judge", relative=True
    )
    assert points.empty


def test_alignment_is_known_by_what_an_encoder_is_not_by_its_name():
    configuration = configuration_of()
    assert served_alignment(configuration, "small", "aligner")
    assert not served_alignment(configuration, "small", "judge")
    encoders = dict(configuration.encoders)
    encoders["twin"] = encoders["aligner"].model_copy(update={"batch_size": 3})
    twin = configuration.model_copy(update={"encoders": encoders})
    assert served_alignment(twin, "small", "twin")
    without = configuration_of(generator={"kind": "sit", "architecture": "SiT-S/2"})
    assert not served_alignment(without, "small", "aligner")


def test_primary_encoder_prefers_one_that_did_not_serve_alignment():
    def metrics(*pairs):
        return pd.DataFrame(pairs, columns=["extractor", "view"])

    configuration = configuration_of()
    both = metrics(("aligner", "all"), ("judge", "DNA"), ("judge", "all"))
    assert primary_encoder(configuration, "small", both) == ("judge", "all")
    alone = metrics(("aligner", "DNA"), ("aligner", "rgb"))
    assert primary_encoder(configuration, "small", alone) == ("aligner", "rgb")
    assert primary_encoder(configuration, "small", metrics()) is None


def test_components_are_those_of_the_real_images():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(50, 6)).astype(np.float32) * [5, 3, 1, 1, 1, 1] + 7
    keys = pd.DataFrame({"cell_type": "a", "perturbation": "b",
                         "origin": ["real"] * 30 + ["generated"] * 20})  # fmt: skip
    points, explained = principal_components(keys, features)
    pca = PCA(2).fit(features[:30])
    np.testing.assert_allclose(explained, pca.explained_variance_ratio_, rtol=1e-5)
    expected = np.abs(pca.transform(features))
    found = np.abs(points[["first", "second"]].to_numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_components_need_images_that_differ():
    keys = pd.DataFrame({"origin": ["real"] * 4})
    with pytest.raises(DataError, match="the same"):
        principal_components(keys, np.ones((4, 3), np.float32))
    with pytest.raises(DataError, match="too few"):
        principal_components(keys[:2], np.ones((2, 3), np.float32))


def test_a_table_that_is_no_metric_table_is_refused(tmp_path):
    import pyarrow as pa

    write_parquet(pa.table({"metric": ["FID"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="not a metric table"):
        read_metrics([tmp_path / "x.parquet"])


def test_a_single_cell_type_is_not_shown_twice():
    columns = ["metric", "extractor", "view", "comparison", "regime", "task", "perturbation",
               "group", "variant"]  # fmt: skip
    summary = pd.DataFrame(
        {
            "metric": ["a", "a", "b", "never pooled"],
            "cell_type": ["all", "HeLa", "all", "HeLa"],
            "value": [1.0, 1.0, 2.0, 3.0],
        }
    ).reindex(columns=["metric", "cell_type", "value", *columns[1:]], fill_value="")
    shown = named_cell_type(summary, ["HeLa"])
    assert shown["metric"].tolist() == ["a", "b", "never pooled"]
    assert shown["cell_type"].tolist() == ["HeLa"] * 3
    assert shown["value"].tolist() == [1.0, 2.0, 3.0]
    assert named_cell_type(summary, ["HeLa", "U2OS"]) is summary
