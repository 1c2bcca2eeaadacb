"""The whole flow on a cluster, with a training cancelled, one preempted and one out of time."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
# The first is that of the configuration, the others are asked for by name.
SEEDS = {"cancelled": 0, "preempted": 1, "out of time": 2}
# By name: `all` makes more than is looked at here.
REPORT = "results/report/index.html"
CHECKPOINT = "results/experiments/tiny/training/seed-{}/slice-0".format
# One thread: more would round their sums otherwise than the training they are compared with.
SMALL = ["--set-threads", *(f"{rule}=1" for rule in ("train", "sample", "train_autoencoder"))]
# Minutes, of which most are waiting; more where other work is on the machine.
pytestmark = pytest.mark.timeout(2400)


def wait_for(condition, seconds=120, step=0.1):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not come about in {seconds} s"
        time.sleep(step)


class Training:
    """The process that trains one of the seeds, wherever the scheduler has put it."""

    def __init__(self, folder: Path, seed: int, workflow: subprocess.Popen) -> None:
        self.work = folder / "scratch/training/tiny" / f"seed-{seed}"
        name = f"training/tiny/seed-{seed}".encode()
        end = time.monotonic() + 600
        while time.monotonic() < end and workflow.poll() is None:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    command = (process / "cmdline").read_bytes().split(b"\0")
                    here = os.readlink(process / "cwd") == str(folder)
                    self.environment = (process / "environ").read_bytes().decode().split("\0")
                except OSError:
                    continue
                if here and b"train" in command and any(name in word for word in command):
                    self.number = int(process.name)
                    return
            time.sleep(0.3)
        raise AssertionError(f"The training of seed {seed} did not begin.")

    def hold(self) -> None:
        """Stop it where it is, as soon as there is a checkpoint: it cannot end before its fault."""
        wait_for(lambda: any(self.work.glob("step-*")), step=0.005)
        os.kill(self.number, signal.SIGSTOP)

    def variable(self, name: str) -> str:
        return dict(line.split("=", 1) for line in self.environment if "=" in line)[name]


def train_alone(workflow):
    """The same trainings outside of SLURM, left alone, from the same latents."""
    folder = workflow.folder.with_name(workflow.folder.name + "-alone")
    folder.mkdir()
    for part in ("datasets", "splits", "autoencoders"):
        shutil.copytree(workflow.folder / "results" / part, folder / "results" / part)
    shutil.copytree(workflow.folder / ".snakemake/metadata", folder / ".snakemake/metadata")
    targets = map(CHECKPOINT, SEEDS.values())
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--configfile", str(HERE / "screen.yaml"), "--cores", "2", *SMALL, "--", *targets]
    with open(folder / "snakemake.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=workflow.cluster.environment, stdout=log, stderr=log
        )
    return folder, process


class Ended:
    """What is left of the run for the tests to look at."""

    def __init__(self, workflow):
        self.workflow, self.folder, self.held = workflow, workflow.folder, {}

    def jobs(self, rule):
        return [j for j in self.workflow.jobs() if f"rule_{rule}_wildcards_" in j["Comment"]]


@pytest.fixture(scope="module")
def ended(on_cluster):
    workflow = on_cluster("screen", REPOSITORY / "Snakefile")
    run, cluster = Ended(workflow), workflow.cluster
    seed_is = "wildcards.training_seed == '{}'".format
    process = workflow.start(
        "--configfile",
        str(HERE / "screen.yaml"),
        *SMALL,
        # Jobs of seconds each, for which Snakemake would wait for SLURM ten times as long.
        *("--groups", "simulate=data", "fields=data", "split=data"),
        *("train_encoder=judge", "features=judge", "evaluate=page", "report=page"),
        # However often a job fails, it fits on a node beside others.
        *("--resources", "mem_mb=4000", "runtime=2880", "in_turn=1"),
        # A node of its own for the one that is preempted.
        "--set-resources",
        f"train:slurm_partition='preempt' if {seed_is(1)} else 'gpu'",
        f"train:slurm_extra='--nodelist=' + ('n4' if {seed_is(1)} else 'n3')",
        *("--", REPORT, CHECKPOINT(1), CHECKPOINT(2)),
    )
    try:

        def hold(fault):
            run.held[fault] = Training(workflow.folder, SEEDS[fault], process)
            run.held[fault].hold()

        # Beside each other: none shall end while another is waited for.
        with ThreadPoolExecutor() as threads:
            list(threads.map(hold, SEEDS))
        run.first = first = {f: run.held[f].variable("SLURM_JOB_ID") for f in SEEDS}
        cluster.run("scancel", first["cancelled"])
        cluster.run(
            *("sbatch", "--partition=urgent", "--nodelist=n4", "--exclusive"),
            *("--output=/dev/null", "--wrap=sleep 1"),
        )
        # A minute at least has passed for it, or soon has.
        cluster.run("scontrol", "update", f"JobId={first['out of time']}", "TimeLimit=1")
        run.alone, alone = train_alone(workflow)
        wait_for(lambda: cluster.job(first["out of time"])["JobState"] == "TIMEOUT", 240)
        assert alone.wait(timeout=300) == 0, (run.alone / "snakemake.log").read_text()[-3000:]
        assert process.wait() == 0, workflow.log.read_text()[-5000:]
        yield run
    finally:
        for training in run.held.values():
            with suppress(ProcessLookupError):
                os.kill(training.number, signal.SIGCONT)
        workflow.stop()


def test_slurm_whole_workflow_ends_with_its_report(ended):
    page = (ended.folder / "results/report.html").read_text()
    assert "on a cluster" in page


def test_slurm_jobs_with_a_gpu_are_on_the_nodes_that_have_one(ended):
    assert {job["Partition"] for job in ended.jobs("sample")} == {"gpu"}
    assert {job["NodeList"] for job in ended.jobs("sample")} <= {"n3", "n4"}
    assert {job["Partition"] for job in ended.jobs("train_autoencoder")} == {"gpu"}
    for training in ended.held.values():
        assert training.variable("CUDA_VISIBLE_DEVICES") in ("0", "1")
        assert training.variable("SLURMD_NODENAME") in ("n3", "n4")


def test_slurm_cancelled_training_is_tried_again(ended):
    states = [j["JobState"] for j in ended.jobs("train") if "_tiny_0_0" in j["Comment"]]
    assert states == ["CANCELLED", "COMPLETED"]


def test_slurm_training_out_of_time_is_tried_again_with_more(ended):
    jobs = [j for j in ended.jobs("train") if "_tiny_2_0" in j["Comment"]]
    assert [j["JobState"] for j in jobs] == ["TIMEOUT", "COMPLETED"]
    assert jobs[1]["TimeLimit"] == "1-00:00:00", "twice the rule's twelve hours"


def test_slurm_preempted_training_is_requeued_under_its_number(ended):
    job = ended.workflow.cluster.job(ended.first["preempted"])
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")


@pytest.mark.parametrize("fault", SEEDS)
def test_slurm_training_goes_on_and_ends_with_the_weights_of_one_left_alone(ended, fault):
    said = ended.folder / f"results/logs/train/tiny_{SEEDS[fault]}_0.log"
    assert "Resuming from" in said.read_text()
    alone = ended.alone / CHECKPOINT(SEEDS[fault])
    files = [path.relative_to(ended.alone) for path in alone.rglob("*.safetensors")]
    assert files
    for file in files:
        assert (ended.folder / file).read_bytes() == (ended.alone / file).read_bytes(), file
