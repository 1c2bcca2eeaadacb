"""The profile against the rules that it speaks of: what can be said without a cluster."""

import re
from pathlib import Path

import pytest
import yaml
from snakemake_executor_plugin_slurm.partitions import read_partition_file

REPOSITORY = Path(__file__).resolve().parents[2]
PROFILE = REPOSITORY / "profiles" / "slurm"
RULES = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))


@pytest.fixture(scope="module")
def profile():
    return yaml.safe_load((PROFILE / "config.yaml").read_text())


def test_slurm_profile_groups_rules_that_there_are(profile):
    groups = dict(line.split("=") for line in profile["groups"])
    assert set(groups) <= set(re.findall(r"^rule (\w+):", RULES, re.MULTILINE))
    assert {line.split("=")[0] for line in profile["group-components"]} == set(groups.values())


def test_slurm_profile_names_all_rules_that_need_a_network():
    text = (PROFILE / "config.yaml").read_text()
    named = set(re.findall(r"^#   (\w+): \{slurm_partition", text, re.MULTILINE))
    fetching = set(re.findall(r"rule (download_\w+):", RULES))
    assert named == fetching | {"weights", "cellprofiler_environment"}


def test_slurm_rules_leave_the_cluster_to_the_profile():
    assert not re.search(r"slurm_(partition|account)|qos|retries:|group:", RULES)
    # Whatever is asked for grows where a job failed.
    assert not re.search(r"^\s+(mem_mb|runtime)=[\"\d]", RULES, re.MULTILINE)


def test_slurm_partition_file_can_be_read_and_knows_where_gpus_are(profile):
    assert profile["slurm-partition-config"] == "profiles/slurm/partitions.yaml"
    limits = {p.name: p.limits for p in read_partition_file(PROFILE / "partitions.yaml")}
    assert [name for name, limit in limits.items() if limit.max_gpu] == ["gpu"]
