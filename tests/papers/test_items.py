"""The list of items against the papers', and against the workflow's targets."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from morphpipe.config.papers import Papers
from morphpipe.report.papers.figures import FIGURES
from morphpipe.report.papers.items import ITEMS, Block
from morphpipe.report.papers.setups import PAPERS
from morphpipe.report.papers.tables import FILLERS

REPOSITORY = Path(__file__).resolve().parents[2]
# MorphGen: tables 1 to 19, figures 1 to 16, and the experiment of section 4.5. MorphoDiff: the
# tables and figures that its text tells of as results (figure 1 is a diagram; figures 3 and 4 and
# table 3 stand in the part that is not there).
EXPECTED = [
    *(f"morphgen_table{n}" for n in range(1, 20)), "morphgen_instrument",
    *(f"morphgen_figure{n}" for n in range(1, 17)),
    "morphodiff_table1", "morphodiff_table2", "morphodiff_table4", "morphodiff_table5",
    "morphodiff_figure2", "morphodiff_figure5", "morphodiff_figure6",
]  # fmt: skip


def test_every_table_and_figure_of_the_papers_is_an_item():
    assert list(ITEMS) == EXPECTED
    blocks = [block for item in ITEMS.values() for block in item.table]
    assert {block.fill for block in blocks} == set(FILLERS)
    assert {i.figure["draw"] for i in ITEMS.values() if i.kind == "figure"} == set(FIGURES)


def test_every_role_has_a_published_setup():
    needed = {(need.paper, need.role) for item in ITEMS.values() for need in item.needs}
    assert needed == {(name, role) for name, paper in PAPERS.items() for role in paper.roles}
    assert all(setup.source for paper in PAPERS.values() for setup in paper.roles.values())


def test_every_folder_of_a_paper_has_its_roles_in_the_configuration():
    assert list(PAPERS) == [name for name in Papers.model_fields if name != "items"]
    for name, paper in PAPERS.items():
        roles = type(Papers().of(name)).model_fields
        assert [role for role in roles if role in paper.roles] == list(paper.roles)


@pytest.mark.parametrize("part", ["query", "each"])
def test_a_block_that_asks_for_what_there_is_not_is_refused(part):
    with pytest.raises(ValueError, match="unknown: perturbations; known: "):
        Block.model_validate({part: {"perturbations": ["1137"]}})
    with pytest.raises(ValueError, match="unknown: colum"):
        Block.model_validate({"cells": [[{"colum": "FID"}], {"column": "KID"}]})


@pytest.mark.parametrize("name", ["config.yaml", "demo-tables.yaml"])
def test_roles_of_the_reproduction_and_of_the_demonstration_are_filled(name):
    content = yaml.safe_load((REPOSITORY / "config" / name).read_text("utf-8"))
    papers = Papers.model_validate(content["papers"])
    for item in ITEMS.values():
        # The reproduction is on fields; published crops are those of config/cells-full.yaml.
        needs = [n for n in item.needs if n.role not in ("cellflux", "impa")]
        filled = [getattr(papers, need.paper).roles.get(need.role) for need in needs]
        assert any(filled), item.name
        if name == "config.yaml":
            assert all(filled), item.name


def test_every_item_is_in_the_graph_of_all_and_a_target_of_its_own():
    """`all` alone for the graph; and all names as targets, which fails on an unknown one."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/demo-tables.yaml"]
    for targets in (["all"], EXPECTED):
        done = subprocess.run(
            [*command, "-n", "--forceall", "--", *targets],
            cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        planned = done.stdout + done.stderr
        for name in EXPECTED:
            assert f"papers/{name}/item.json" in planned, (name, targets[0])


def dry_run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--forceall", *arguments],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_all_makes_the_items_that_are_chosen_and_others_are_made_when_named():
    chosen = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text())["papers"]["items"]
    other = "morphgen_table1"
    assert other not in chosen
    for targets, expected in (("all", set(chosen)), (other, {other})):
        done = dry_run("--configfile", "config/demo.yaml", "--", targets)
        planned = done.stdout + done.stderr
        assert {name for name in EXPECTED if f"papers/{name}/item.json" in planned} == expected


def test_chosen_item_that_the_papers_do_not_have_is_named(tmp_path):
    content = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text())
    content["papers"]["items"] = ["morphgen_table4", "morphgen_table20"]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    done = dry_run("--configfile", str(path))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "papers.items: the papers have no morphgen_table20; there are morphgen_table1" in said
    assert "Traceback" not in said
