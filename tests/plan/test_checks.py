"""Checks that look at data, before any job runs."""

import pytest

from morphpipe.core.errors import ConfigError
from morphpipe.plan.checks import plan_run
from morphpipe.plan.paths import Plan

CELLS = {"source": "archives", "size": 48, "licence": "none"}


def with_cells(content, *images):
    datasets = content["datasets"] | {"cells": CELLS | {"images": list(images)}}
    return content | {"datasets": datasets}


def test_own_files_that_are_not_there_are_named(content):
    with pytest.raises(ConfigError, match=r"datasets\.cells\.images: There is no .* nowhere\.zip"):
        plan_run(with_cells(content, "nowhere.zip"))


def test_what_a_rule_makes_need_not_be_there(content):
    archive = "results/datasets/screen/crops/fields-48/shard-0.zip"
    plan = Plan(plan_run(with_cells(content, archive)))
    assert plan.in_place("cells") == {"images": [archive]}
    # Crops of all cell types, since no experiment is on crops of the screen itself.
    assert plan.crop_cell_types("screen") is None
