import math

import pytest

from morphpipe.report.run_times import duration, read_stages, stage_plots, stage_table

from . import extras


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return read_stages(*extras.write_benchmarks(tmp_path_factory.mktemp("run")))


def test_jobs_of_a_stage_are_summed_up(stages):
    by = {stage.name: stage for stage in stages}
    assert list(by) == ["train", "split", "sample"]
    train = by["train"]
    assert (train.jobs, train.measured) == (2, 2)
    assert (train.seconds, train.longest, train.memory) == (121.0, 90.5, 2048.0)
    assert train.cpu_seconds == 160.0


def test_what_was_not_measured_is_said(stages):
    by = {stage.name: stage for stage in stages}
    assert by["split"].seconds == 0.4
    assert math.isnan(by["split"].memory)
    assert math.isnan(by["split"].cpu_seconds)
    assert (by["sample"].jobs, by["sample"].measured) == (1, 0)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in stage_table(stages).rows}
    assert rows["sample"] == ["0 of 1", *["not measured"] * 4]
    assert rows["train"] == ["2 of 2", "2.02 min", "90.5 s", "2.67 min", "2.00 GiB"]
    (plot,) = stage_plots(stages)
    assert "2.02 min in total" in plot.caption


def test_nothing_and_broken_files_are_no_measurement(tmp_path):
    assert read_stages(None, None) == []
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "one.tsv").write_text("")
    (tmp_path / "x" / "two.tsv").write_text("s\tmax_rss\n1.5\t-\n2.5\t-\n")
    (stage,) = read_stages(tmp_path, None)
    # Of a benchmark that was repeated the mean.
    assert (stage.jobs, stage.measured, stage.seconds) == (2, 1, 2.0)
    assert stage_plots(read_stages(None, tmp_path)) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0.400 s"), (119, "119 s"), (600, "10.0 min"), (9000, "2.50 h")]
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
