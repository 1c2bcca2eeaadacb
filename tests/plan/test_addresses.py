"""Addresses and plates of data that are downloaded."""

import pytest

from morphpipe.config.raw_datasets import BBBC021Dataset
from morphpipe.core.errors import ConfigError
from morphpipe.datasets.sources.bbbc021_source import BBBC021Source
from morphpipe.datasets.sources.registry import source_of
from morphpipe.plan.addresses import local_files
from morphpipe.plan.checks import check_workflow, require_environment


def test_all_plates_of_bbbc021_or_those_that_are_named():
    whole = BBBC021Dataset(source="bbbc021", address="https://x.y")
    assert source_of(whole).number_of_shards == 55
    part = BBBC021Dataset(
        source="bbbc021", address="https://x.y", plates=["Week9_39206"], compound_table=False
    )
    assert BBBC021Source(part).archive_address(0) == "https://x.y/BBBC021_v1_images_Week9_39206.zip"
    assert [part.table_address(name) for name in part.tables] == [
        "https://x.y/BBBC021_v1_image.csv",
        "https://x.y/BBBC021_v1_moa.csv",
    ]


def test_only_files_that_are_there_are_inputs(tmp_path):
    path = tmp_path / "a table.csv"
    path.touch()
    missing = f"file:{tmp_path}/none.csv"
    assert local_files("https://x.y/a.csv", f"file:{path}", missing) == [str(path)]


def test_pipeline_and_items_are_checked_before_the_run(plan, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"morphology\.cells\.pipeline: there is no file none"):
        check_workflow(plan.configuration)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.cppipe").touch()
    check_workflow(plan.configuration)
    papers = plan.configuration.papers.model_copy(update={"items": ["morphgen_table99"]})
    with pytest.raises(ConfigError, match="the papers have no morphgen_table99"):
        check_workflow(plan.configuration.model_copy(update={"papers": papers}))


def test_environment_may_be_missing_only_before_it_was_made(tmp_path):
    record = tmp_path / "environment.json"
    require_environment(tmp_path / "gone", record)
    record.touch()
    with pytest.raises(ConfigError, match="is missing"):
        require_environment(tmp_path / "gone", record)
