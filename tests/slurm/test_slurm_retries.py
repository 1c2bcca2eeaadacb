"""Failing jobs, attempts and groups under the project's profile, in a workflow of seconds."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def ended(on_cluster):
    workflow = on_cluster("retries", Path(__file__).with_name("retries.smk"))
    status = workflow.run(
        *("--retries", "1", "--group-components", "small=3"),
        *("--slurm-init-seconds-before-status-checks", "8"),
        # As the profile's block for rules that need a network.
        *("--set-resources", "fine:slurm_partition='urgent'"),
    )
    assert status == 1, workflow.log.read_text()[-3000:]
    return workflow


def jobs_of(workflow, rule):
    return [job for job in workflow.jobs() if job["Comment"].startswith(f"rule_{rule}")]


def test_slurm_flaky_job_gets_more_memory_and_time(ended):
    assert (ended.folder / "flaky.txt").exists()
    assert (ended.folder / "attempts.txt").read_text().split() == ["1000", "60", "2000", "120"]
    # Not only inside the job: SLURM was asked for it.
    asked = [(job["MinMemoryNode"], job["TimeLimit"]) for job in jobs_of(ended, "flaky")]
    assert asked == [("1000M", "01:00:00"), ("2000M", "02:00:00")]


def test_slurm_job_killed_for_its_memory_gets_more(ended):
    killed, finished = jobs_of(ended, "hungry")
    assert (killed["JobState"], killed["MinMemoryNode"]) == ("FAILED", "500M")
    assert (finished["JobState"], finished["MinMemoryNode"]) == ("COMPLETED", "1000M")
    kept = (ended.folder / "results/logs/slurm/rule_hungry").rglob(f"{killed['JobId']}.log")
    assert any("exceeded memory limit" in path.read_text() for path in kept)
    assert (ended.folder / "hungry.txt").exists()


def test_slurm_file_that_is_seen_late_is_waited_for(ended):
    assert [job["JobState"] for job in jobs_of(ended, "late")] == ["COMPLETED"]
    assert (ended.folder / "late.txt").exists()


def test_slurm_failing_job_is_tried_again_and_reported_with_its_log(ended):
    said = ended.log.read_text()
    assert [job["JobState"] for job in jobs_of(ended, "broken")] == ["FAILED", "FAILED"]
    assert "Error in rule broken" in said
    assert "logs/broken.log" in said
    assert (ended.folder / "logs/broken.log").read_text() == "no such plate\n"
    # Beside the rule's own log, what Snakemake and SLURM said inside the job.
    kept = list((ended.folder / "results/logs/slurm/rule_broken").rglob("*.log"))
    assert len(kept) == 2
    assert all(str(path) in said for path in kept)


def test_slurm_the_rest_is_finished_beside_a_failing_job(ended):
    assert (ended.folder / "fine.txt").exists()
    assert not (ended.folder / "after-broken.txt").exists()


def test_slurm_rule_goes_to_the_partition_that_is_named_for_it(ended):
    assert [job["Partition"] for job in jobs_of(ended, "fine")] == ["urgent"]
    assert {job["Partition"] for job in jobs_of(ended, "flaky")} == {"cpu"}


def test_slurm_group_is_one_job_with_the_gpu_of_one_and_the_time_of_all(ended):
    lines = {(ended.folder / f"small/{k}.txt").read_text() for k in range(3)}
    assert len(lines) == 1, "they ran in one job"
    number, device = lines.pop().split()
    job = ended.cluster.job(number)
    assert device in ("0", "1")
    assert (job["Partition"], job["NumCPUs"]) == ("gpu", "1")
    assert (job["MinMemoryNode"], job["TimeLimit"]) == ("1000M", "03:00:00")
