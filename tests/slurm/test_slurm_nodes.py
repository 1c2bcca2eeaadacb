"""Training over two nodes, through the workflow's own rule, is that of one process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from morphpipe.cli import main
from morphpipe.datasets.splits.table import write_split
from morphpipe.plan.checks import read_plan
from morphpipe.plan.params import training_settings
from morphpipe.plan.paths import Plan
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.array_shards import write_shard
from morphpipe.tables.checkpoint_state import read_state
from morphpipe.tables.fields import write_fields
from morphpipe.tables.manifest import Channel, ChannelManifest

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE = (2, 8, 4, 4)
SLICES = [f"results/experiments/tiny/training/seed-0/slice-{i}" for i in (0, 1)]


def configure(folder, nodes):
    content = yaml.safe_load((REPOSITORY / "tests/workflow/tiny.yaml").read_text())
    experiment = content["experiments"]["tiny"]
    content.pop("morphology")
    experiment["evaluation"].pop("morphology")
    experiment["generator"].pop("alignment")
    # In bfloat16, which `auto` is where the processor has it, devices agree to 1e-4 only.
    experiment["training"] |= {"nodes": nodes, "augmentation": "none", "precision": "fp32"}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))


def make_inputs(folder):
    """All that the rule reads, as the stages before it write it."""
    dataset = folder / "results/datasets/screen"
    manifest = ChannelManifest((Channel("DNA", "-"),), None, 8, "MIT", "random numbers")
    ids = [f"f{i:02d}" for i in range(16)]
    with write_archive(dataset / "images.zip", manifest) as archive:
        for i, field_id in enumerate(ids):
            row = {"field_id": field_id, "dataset": "screen", "origin": "real", "site": 1}
            row |= {"cell_type": "HUVEC", "batch": "b1", "plate": "p1", "well": f"B{i:02d}"}
            row |= {"perturbation": f"p{i % 3}", "perturbation_kind": "sirna", "control": "none"}
            archive.add(row, np.zeros((1, 16, 16), np.uint8))
    write_fields(read_fields(dataset / "images.zip"), dataset / "fields.parquet")
    (folder / "results/splits").mkdir()
    write_split(
        pd.DataFrame({"field_id": ids, "split": "train"}), folder / "results/splits/screen.parquet"
    )
    moments = np.random.default_rng(0).standard_normal((len(ids), *SHAPE)).astype(np.float16)
    moments[:, 1] = 0.1 * np.abs(moments[:, 1])
    for shard, part in enumerate((slice(0, 8), slice(8, None))):
        write_shard(
            dataset / f"latents/tiny-channels-none/shard-{shard}",
            [(i, 0) for i in ids[part]],
            [moments[part]],
            shape=SHAPE,
            dtype=np.float16,
        )


def locally(workflow, *arguments):
    """Snakemake on this machine, in the same folder; gives what it says."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--configfile", "config.yaml", "--cores", "1", *arguments),
        ],
        cwd=workflow.folder,
        env=workflow.cluster.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def stop_first_process(work, workflow, before=0):
    """Stop the process that writes, as soon as there is a checkpoint and it is another than before.

    Gives its number.
    """
    end = time.monotonic() + 300
    number = before
    while number == before or not any(work.glob("step-*")):
        assert workflow.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
        lock = work / "lock"
        word = re.search(r"process (\d+) on", lock.read_text() if lock.exists() else "")
        number = int(word[1]) if word else before
    os.kill(number, signal.SIGSTOP)
    return number


@pytest.fixture(scope="module")
def over_nodes(on_cluster):
    """A slice of training over two nodes, pushed aside by an urgent job, then without a node."""
    workflow = on_cluster("nodes", REPOSITORY / "Snakefile")
    make_inputs(workflow.folder)
    configure(workflow.folder, nodes=2)
    process = workflow.start(
        *("--configfile", "config.yaml", "--set-threads", "train=1"),
        *("--set-resources", "train:mem_mb=1000", "train:slurm_partition=preempt"),
        *("train:slurm_extra='--nodelist=n3,n4'", "--", SLICES[0]),
    )
    try:
        work = workflow.folder / "scratch/training/tiny/seed-0"
        first = stop_first_process(work, process)
        # SLURM lets it go on when it asks it to end.
        workflow.cluster.run(
            *("sbatch", "--partition=urgent", "--nodelist=n4", "--exclusive"),
            *("--output=/dev/null", "--wrap=sleep 1"),
        )
        stop_first_process(work, process, first)
        # What SLURM itself does with a node that does not answer any more, and with one that is
        # back: nobody is asked to end.
        node = ("scontrol", "update", "NodeName=n4")
        workflow.cluster.run(*node, "State=DOWN", "Reason=lost")
        # Where it has come back by itself there is nothing to resume.
        workflow.cluster.run(*node, "State=RESUME", check=False)
        status = process.wait(timeout=400)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
    logs = [path.read_text() for path in workflow.folder.glob("results/logs/**/*.log")]
    assert status == 0, workflow.log.read_text()[-3000:] + "\n".join(logs)[-6000:]
    return workflow


@pytest.mark.timeout(700)
def test_slurm_training_over_nodes_is_put_back_into_the_queue_and_ends(over_nodes):
    """Once for the urgent job and once for the lost node, under the same number."""
    (job,) = [job for job in over_nodes.jobs() if job["Comment"].startswith("rule_train")]
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "2")
    assert (job["NumNodes"], job["NumTasks"], job["TresPerNode"]) == ("2", "2", "gres:gpu:1")
    (log,) = over_nodes.folder.glob("results/logs/train/tiny_0_0.log")
    assert "Resuming from" in log.read_text()


@pytest.mark.timeout(700)
def test_slurm_two_nodes_train_the_same_model_as_one_process(over_nodes, monkeypatch):
    dataset = "results/datasets/screen"
    monkeypatch.chdir(over_nodes.folder)
    settings = json.dumps(training_settings(Plan(read_plan(Path("config.yaml"))), "tiny", 0))
    arguments = ["train", "--settings", settings, "--devices", "1", "--nodes", "1"]
    arguments += [
        "--fields",
        f"{dataset}/fields.parquet",
        "--split",
        "results/splits/screen.parquet",
    ]
    arguments += ["--moments", f"{dataset}/latents/tiny-channels-none", "--until", "20"]
    monkeypatch.setattr(sys, "argv", ["morphpipe", *arguments, "--output", "alone"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    for part in ("model", "ema"):
        a, b = (load_file(f"{folder}/{part}.safetensors") for folder in ("alone", SLICES[0]))
        assert a.keys() == b.keys()
        a, b = (torch.cat([weights[name].flatten() for name in a]) for weights in (a, b))
        # See `morphpipe.training.loop.train`.
        assert (a - b).norm() < 1e-6 * a.norm(), part


@pytest.mark.timeout(700)
def test_slurm_other_devices_go_on_from_what_two_nodes_have_trained(over_nodes):
    configure(over_nodes.folder, nodes=1)
    said = locally(over_nodes, "--", SLICES[1])
    assert "to step 40" in said
    assert "to step 20" not in said
    assert read_state(over_nodes.folder / SLICES[1]).step == 40
