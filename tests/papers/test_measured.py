import numpy as np
import pandas as pd
import pytest
from scipy import stats

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.summary import prepare
from morphpipe.report.papers.measured import Estimate, Metrics, absent, difference, mean_of
from morphpipe.tables.metric_table import metric_row, metric_table

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}


def row(value, *, metric="FID", perturbation="1", seed=0, **columns):
    settings = columns.pop("settings", {} if value is not None else {"reason": "too few"})
    return metric_row(
        **CONTEXT, metric=metric, extractor="inception", view="rgb", comparison="generated-real",
        cell_type="HUVEC", perturbation=perturbation, training_seed=0, sampling_seed=seed,
        value=value, settings=settings, **columns,
    )  # fmt: skip


def metrics(*rows):
    return Metrics({"distances": prepare(metric_table(rows).to_pandas())})


WHERE = {
    "metric": "FID", "extractor": "inception", "view": "rgb", "comparison": "generated-real",
    "cell_type": "HUVEC", "perturbation": "1",
}  # fmt: skip


def test_seeds_are_averaged_and_have_a_t_interval():
    values = [50.0, 52.0, 57.0]
    table = metrics(
        *(row(v, seed=s, ci_low=v - 2, ci_high=v + 3, n_left=500 - s, n_right=16)
          for s, v in enumerate(values))
    )  # fmt: skip
    found = table.number("distances", **WHERE)
    assert found.value == pytest.approx(53)
    assert (found.low, found.high) == (pytest.approx(51), pytest.approx(56))
    assert (found.n_left, found.n_right) == (498, 16)
    expected = stats.t.interval(0.95, 2, loc=53, scale=stats.sem(values))
    assert found.over_seeds == pytest.approx(expected)


def test_what_is_missing_says_why():
    table = metrics(
        row(None), row(3.0, perturbation="2", seed=0), row(None, perturbation="2", seed=1)
    )
    assert table.number("effects", **WHERE).reason == "this run does not measure effects"
    assert table.number("distances", **WHERE).reason == "too few"
    assert "no such value" in table.number("distances", **WHERE | {"view": "all"}).reason
    part = table.number("distances", **WHERE | {"perturbation": "2"})
    assert (part.value, part.reason) == (3.0, "1 of 2 seeds have no value: too few")


def test_rows_that_settings_tell_apart():
    table = metrics(row(1.0, settings={"other": "a"}), row(2.0, settings={"other": "b"}))
    assert table.number("distances", **WHERE, variant="b").value == 2
    assert table.number("distances", **WHERE).value is None
    twice = metrics(row(1.0, settings={"seen": 1}), row(2.0, settings={"seen": 2}))
    with pytest.raises(DataError, match="more than one value"):
        twice.number("distances", **WHERE)


def test_mean_of_normal_numbers_has_the_interval_of_their_mean():
    """With symmetric intervals the method is the usual sum of variances."""
    deviations = np.array([1.0, 2.0, 0.5])
    values = np.array([10.0, 20.0, 40.0])
    z = stats.norm.ppf(0.975)
    parts = [
        Estimate(v, v - z * s, v + z * s, {(0, 0): v, (0, 1): v + 3})
        for v, s in zip(values, deviations, strict=True)
    ]
    found = mean_of([*parts, absent("too few")])
    expected = stats.norm.interval(0.95, values.mean(), np.sqrt((deviations**2).sum()) / 3)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.by_seed == {(0, 0): pytest.approx(values.mean()), (0, 1): values.mean() + 3}
    assert (found.parts, found.reason) == (3, "1 of 4 have no value: too few")
    assert mean_of([absent("a")]).value is None


def test_skewed_intervals_stay_skewed_and_open_ones_open():
    left, right = Estimate(5.0, 4.0, 8.0), Estimate(2.0, 1.5, 2.5)
    found = difference(left, right)
    assert (found.value, found.low, found.high) == pytest.approx(
        (3.0, 3 - np.hypot(1, 0.5), 3 + np.hypot(3, 0.5))
    )
    opened = difference(Estimate(5.0, 4.0, None), right)
    assert (opened.low, opened.high) == (pytest.approx(3 - np.hypot(1, 0.5)), None)
    assert difference(left, absent("none")).reason == "none"


def test_intervals_of_means_cover():
    """A thousand means of three skewed numbers: the interval holds the truth about as often."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        parts = []
        for scale in (1.0, 2.0, 4.0):
            # Of an exponential mean the exact interval is known.
            n = 20
            mean = random.exponential(scale, n).mean()
            low, high = 2 * n * mean / stats.chi2.ppf([0.975, 0.025], 2 * n)
            parts.append(Estimate(mean, low, high))
        found = mean_of(parts)
        inside += found.low <= 7 / 3 <= found.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_a_large_table_is_read_by_its_index():
    frame = pd.DataFrame([row(float(i), perturbation=str(i)) for i in range(2000)])
    table = Metrics({"distances": prepare(frame)})
    assert table.number("distances", **WHERE | {"perturbation": "1234"}).value == 1234
    assert len(table.values("distances", "perturbation", group="")) == 2000
