"""`morphpipe train --devices 2`: the same training, shared by two processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file

from morphpipe.cli import main
from morphpipe.datasets.splits.table import write_split
from morphpipe.tables.archive import write_archive
from morphpipe.tables.array_shards import ArrayShards, write_shard
from morphpipe.tables.checkpoint_state import read_state
from morphpipe.training.checkpoint import checkpoints

FIELDS, STEPS = 12, 20
# By the name of a run: one whose networks are trained in turns, and one of a single turn.
GENERATORS = {
    "turns": {"kind": "impa", "architecture": "IMPA-test"},
    "single": {"kind": "sit", "architecture": "SiT-test/2"},
}

# Every process imports this before all else. It notes which rows are read and what is opened or
# made, and lets training stand still before a row is read until the file `go` is there.
SPY = """
import os, sys, time
folder, rank = os.environ["SPY"], os.environ.get("RANK")
if rank is not None:
    notes = os.open(f"{folder}/{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words):
        os.write(notes, (" ".join(map(str, words)) + "\\n").encode())

    def hook(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)):
            writing = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            note("write" if writing else "open", os.fsdecode(args[0]))
        elif event in ("os.mkdir", "os.rename"):
            note("write", os.fsdecode(args[0]))

    real, count = os.preadv, 0

    def preadv(file, buffers, offset):
        global count
        count += 1
        if count == int(os.environ.get("STOP_AT", "-1")):
            note("waiting")
            while not os.path.exists(f"{folder}/go"):
                time.sleep(0.05)
        note("row", os.path.basename(os.readlink(f"/proc/self/fd/{file}")), offset)
        return real(file, buffers, offset)

    os.preadv = preadv
    sys.addaudithook(hook)
"""


class Training:
    """One folder with everything that `morphpipe train` needs."""

    def __init__(self, folder: Path, make_row, manifest) -> None:
        self.folder = folder
        rows = [
            make_row(
                f"f{i:02d}",
                well=f"B{i:02d}",
                perturbation=f"p{i % 3}",
                control="none" if i % 3 else "negative",
            )
            for i in range(FIELDS)
        ]
        with write_archive(folder / "fields.zip", manifest) as archive:
            for row in rows:
                archive.add(row, np.zeros((2, 16, 16), np.uint8))
        ids = [row["field_id"] for row in rows]
        write_split(pd.DataFrame({"field_id": ids, "split": "train"}), folder / "split.parquet")
        (folder / "latents").mkdir()
        moments = np.random.default_rng(0).standard_normal((FIELDS, 2, 8, 4, 4)).astype(np.float16)
        moments[:, 1] = 0.1 * np.abs(moments[:, 1])
        for shard, part in enumerate((slice(0, 5), slice(5, None))):
            write_shard(
                folder / f"latents/shard-{shard}",
                [(i, 0) for i in ids[part]],
                [moments[part]],
                shape=moments.shape[1:],
                dtype=np.float16,
            )
        (folder / "spy").mkdir()
        (folder / "spy/sitecustomize.py").write_text(SPY)

    def arguments(self, name: str, *others: str) -> list[str]:
        """Of `morphpipe`; steps are few, and there are no checkpoints unless asked for."""
        settings = {
            "experiment": "several",
            "seed": 0,
            "image_mode": "channels",
            "autoencoder": "none",
            "generator": GENERATORS["turns" if name.endswith("turns") else "single"],
            "training": {
                "steps": STEPS,
                "slices": 1,
                "batch_size": 4,
                "accumulation": 1 if name == "two-turns" else 2,
                "precision": "fp32",
                "learning_rate": 1e-3,
                "deterministic": True,
            },
        }
        named = {
            "settings": json.dumps(settings),
            "fields": self.folder / "fields.zip",
            "split": self.folder / "split.parquet",
            "moments": self.folder / "latents",
            "work": self.folder / name / "work",
            "output": self.folder / name / "last",
            "log": self.folder / name / "train.log",
        }
        options = [word for key, value in named.items() for word in (f"--{key}", str(value))]
        return ["train", *options, *others]

    def start(self, name: str, *others: str, **environment: str) -> subprocess.Popen:
        """Two processes; everything that they say goes into `<name>/said`."""
        spies = self.folder / name / "spies"
        spies.mkdir(parents=True, exist_ok=True)
        with open(self.folder / name / "said", "a") as said:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "morphpipe",
                    *self.arguments(name, *others, "--devices", "2"),
                ],
                env={key: v for key, v in os.environ.items() if key != "SLURM_JOB_ID"}
                | {"SPY": str(spies), "PYTHONPATH": str(self.folder / "spy")}
                | environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def finish(self, name: str, process: subprocess.Popen) -> Path:
        try:
            assert process.wait(timeout=300) == 0, self.said(name)
        finally:
            kill(process)
        return self.folder / name / "last"

    def said(self, name: str) -> str:
        return (self.folder / name / "said").read_text()

    def notes(self, name: str, rank: int) -> list[list[str]]:
        file = self.folder / name / "spies" / str(rank)
        return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []

    def rows(self, name: str, rank: int) -> Counter:
        # Copies on a node's disk have no name any more: the system says "(deleted)" behind it.
        notes = [note for note in self.notes(name, rank) if note[0] == "row"]
        return Counter((note[1], note[-1]) for note in notes)


def tree(process: subprocess.Popen) -> list[psutil.Process]:
    """The launcher and all that it has started, in sessions of their own."""
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


def kill(process: subprocess.Popen) -> None:
    """End everything at once."""
    if process.poll() is None:
        for each in tree(process):
            each.kill()
        process.wait()


def wait_until(ready, process: subprocess.Popen, said) -> None:
    deadline = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, said()
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def training(tmp_path_factory, request):
    from morphpipe.tables.manifest import Channel, ChannelManifest

    manifest = ChannelManifest(
        channels=(Channel("DNA", "-"), Channel("ER", "-")),
        pixel_size=None,
        bit_depth=8,
        licence="MIT",
        source="random numbers",
    )

    def make_row(field_id, **columns):
        return {
            "field_id": field_id,
            "dataset": "random",
            "origin": "real",
            "cell_type": "HUVEC",
            "batch": "b1",
            "plate": "p1",
            "site": 1,
            "perturbation_kind": "sirna",
            "control": "none",
        } | columns

    return Training(tmp_path_factory.mktemp("several"), make_row, manifest)


@pytest.fixture(scope="module")
def two(training):
    """Two processes that nobody disturbs."""
    return training.finish("two", training.start("two", "--staging", str(training.folder)))


def alone(training, name, monkeypatch):
    """The same training by this one process; gives the rows that it reads as well."""
    rows, real = Counter(), ArrayShards.read

    def read(shards, positions):
        for position in positions:
            shard, row = shards.index["shard"][position], shards.index["row"][position]
            rows[(shard, str(128 + row * shards.row_bytes))] += 1
        return real(shards, positions)

    monkeypatch.setattr(ArrayShards, "read", read)
    monkeypatch.setattr(sys, "argv", ["morphpipe", *training.arguments(name)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return training.folder / name / "last", rows


def assert_close(left, right):
    """What `morphpipe.training.loop.train` says of other numbers of processes, at 20 steps."""
    for part in ("model", "ema"):
        a, b = (load_file(folder / f"{part}.safetensors") for folder in (left, right))
        assert a.keys() == b.keys()
        a, b = (torch.cat([weights[name].flatten() for name in a]) for weights in (a, b))
        assert (a - b).norm() < 1e-6 * a.norm(), part


def assert_same(left, right):
    for part in ("model", "ema", "optimizer"):
        a, b = (load_file(folder / f"{part}.safetensors") for folder in (left, right))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a), part


@pytest.fixture(scope="module")
def asked_to_end(training):
    """Two processes that get a SIGTERM at step 3 in a job of SLURM, and a SIGKILL at last."""
    name = "asked"
    process = training.start(name, STOP_AT="8", SLURM_JOB_ID="7")
    try:
        wait_until(
            lambda: all(["waiting"] in training.notes(name, rank) for rank in (0, 1)),
            process,
            lambda: training.said(name),
        )
        # SLURM asks each process, and where it preempts a job it asks twice.
        for each in 2 * tree(process):
            each.send_signal(signal.SIGTERM)
        (training.folder / name / "spies/go").touch()
        wait_until(
            lambda: "saved step 10" in (training.folder / name / "train.log").read_text(),
            process,
            lambda: training.said(name),
        )
        # SLURM fails a job that ends by itself; what waits to be killed is put into the queue.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    finally:
        kill(process)
    assert [folder.name for folder in checkpoints(training.folder / name / "work")] == [
        "step-000000010"
    ]
    return training.folder / name


@pytest.mark.timeout(500)
def test_two_processes_train_the_same_model_as_one(training, two, monkeypatch):
    one, rows = alone(training, "one", monkeypatch)
    assert read_state(one).step == read_state(two).step == STEPS
    assert_close(one, two)
    # The log is of all devices.
    a, b = (pd.read_csv(folder / "log.csv") for folder in (one, two))
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
    # Each row is read by one of the two: together they read what one reads, and neither all.
    shares = [training.rows("two", rank) for rank in (0, 1)]
    assert shares[0] + shares[1] == rows
    assert shares[0].total() == shares[1].total() == 2 * STEPS


@pytest.mark.timeout(500)
def test_two_processes_take_turns_as_one_does(training, monkeypatch):
    """With as many parts of a batch (`arguments`), since each draws its own noise."""
    whole = alone(training, "one-turns", monkeypatch)[0]
    assert_close(whole, training.finish("two-turns", training.start("two-turns")))


@pytest.mark.timeout(500)
def test_one_process_writes_and_checks_the_shards(training, two):
    def touched(rank, kind):
        paths = [" ".join(note[1:]) for note in training.notes("two", rank) if note[0] == kind]
        return [path for path in paths if str(training.folder) in path]

    results = ("two/work", "two/last")
    assert any(place in path for path in touched(0, "write") for place in results)
    assert not any(place in path for path in touched(1, "write") for place in results)
    # Copied once for both, opened there by both, and gone from the folder before the training.
    for rank, times in ((0, 1), (1, 0)):
        opened = Counter(path for path in touched(rank, "open") if path.endswith(".npy"))
        staged = {path: n for path, n in opened.items() if "/morphpipe-" in path}
        own = [n for path, n in opened.items() if "/latents/" in path]
        assert sum(own) == 2 * times
        assert len(staged) == 2
    assert list(training.folder.glob("morphpipe-*")) == []


@pytest.mark.timeout(500)
def test_resumed_by_as_many_processes_it_is_the_same_training(training, two, asked_to_end):
    shutil.copytree(asked_to_end / "work", training.folder / "resumed" / "work")
    assert_same(training.finish("resumed", training.start("resumed")), two)


@pytest.mark.timeout(500)
def test_resumed_by_one_process_it_ends_alike(training, two, asked_to_end, monkeypatch):
    shutil.copytree(asked_to_end / "work", training.folder / "fewer" / "work")
    fewer, rows = alone(training, "fewer", monkeypatch)
    assert rows.total() == 4 * (STEPS - 10)
    assert_close(fewer, two)
