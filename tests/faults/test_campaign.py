"""The campaign's bookkeeping; the workflow itself is not run here (see `__main__.py`)."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.storage import write_parquet

from .corruption import Corruption, draw, kind_of, readers, strike
from .outcomes import Fault, differences, read_faults, same_content, summary, write_fault
from .workflow import Job, configuration

TINY = Path(__file__).parents[1] / "workflow/tiny.yaml"
JOBS = [
    Job("latents", "l.log", ("results/datasets/d/images/shard-0.zip",), ("results/x.parquet",)),
    Job("fields", "f.log", ("results/datasets/d/images/shard-0.zip",), ("results/f.parquet",)),
    Job("train_autoencoder", "c.log", ("results/datasets/d/fields.parquet",), ("results/c.json",)),
    Job("train", "t.log", ("results/datasets/d/latents/shard-0.parquet",), ("results/training",)),
    Job(
        "sample",
        "s.log",
        ("results/e/training/slice-0", "results/autoencoders/c/config.json"),
        ("s",),
    ),
    Job("report", "r.log", ("results/x.parquet", "results/autoencoders/c/history.csv"), ("page",)),
]


@pytest.mark.parametrize(
    ("file", "kind", "rules"),
    [
        (
            "results/datasets/d/images/shard-0.zip",
            "archive",
            {"latents", "fields", "train_autoencoder"},
        ),
        ("results/datasets/d/latents/shard-0.npy", "array shard", {"train"}),
        ("results/datasets/d/latents/shard-0.parquet", "table", {"train"}),
        ("results/e/training/slice-0/state.json", "checkpoint", {"sample"}),
        ("results/autoencoders/c/weights.safetensors", "network", {"sample", "report"}),
        ("results/report/index.html", None, set()),
    ],
)
def test_files_their_kinds_and_readers(file, kind, rules):
    assert kind_of(file) == kind
    assert {job.rule for job in readers(file, JOBS)} == rules


def test_a_corruption_is_a_function_of_the_seed_and_changes_one_byte(tmp_path):
    files = ["datasets/d/images/shard-0.zip", "datasets/d/latents/shard-0.npy", "logs/a.log"]
    for name in files:
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(range(100)))
        os.utime(path, (1, 1))
        path.chmod(0o444)
    drawn = [draw(tmp_path, JOBS, random.Random(f"0 {number}")) for number in range(20)]
    assert drawn == [draw(tmp_path, JOBS, random.Random(f"0 {number}")) for number in range(20)]
    assert {corruption.kind for corruption in drawn} == {"archive", "array shard"}
    assert {c.job.rule for c in drawn} == {"latents", "fields", "train_autoencoder", "train"}
    chosen = Corruption("archive", f"results/{files[0]}", 40, 0x81, JOBS[0])
    strike(tmp_path, chosen)
    path = tmp_path / chosen.file
    changed = np.flatnonzero(np.frombuffer(path.read_bytes(), np.uint8) != np.arange(100))
    assert changed.tolist() == [40]
    assert path.read_bytes()[40] == 40 ^ 0x81
    assert (path.stat().st_mtime, path.stat().st_mode & 0o777) == (1, 0o444)


def test_equal_but_for_wall_clock_times(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, seconds, value in ((one, 1.0, 2.0), (other, 3.0, 2.0)):
        (folder / "results/sub").mkdir(parents=True)
        content = pa.table({"value": [value, None], "seconds": [seconds, 0.0]})
        write_parquet(content, folder / "results/a.parquet")
        (folder / "results/sub/log.csv").write_text(f"step,seconds\n1,{seconds}\n")
        state = {"step": 1, "sha256": {"log.csv": str(seconds), "model.safetensors": "x"}}
        write_checked_json(state, folder / "results/sub/state.json")
    assert differences(one, other, ["results"]) == []
    write_parquet(
        pa.table({"value": [2.0, 0.0], "seconds": [1.0, 0.0]}), other / "results/a.parquet"
    )
    (other / "results/sub/new.txt").write_text("")
    state["step"] = 2
    write_checked_json(state, other / "results/sub/state.json")
    assert differences(one, other, ["results"]) == [
        "results/a.parquet", "results/sub/new.txt", "results/sub/state.json",
    ]  # fmt: skip
    assert not same_content(one / "none", other / "none")


def test_the_journal_and_the_summary(tmp_path):
    faults = [
        Fault(0, "kill", "train", "20 s", "survived"),
        Fault(1, "kill", "train", "30 s", "survived"),
        Fault(0, "corruption", "table", "a.parquet, byte 3", "reported", "DataError: a.parquet"),
        Fault(1, "corruption", "table", "b.parquet, byte 4", "silent", "c.parquet"),
    ]
    journal = tmp_path / "faults.jsonl"
    for fault in faults:
        write_fault(fault, journal)
    with open(journal, "a") as stream:
        stream.write(json.dumps({"number": 9})[:-3])  # cut off by a kill
    assert read_faults(journal) == faults
    text = summary(faults, 6)
    assert "| kill | train | 2 | 2 | 0 | 0 | 0 |" in text
    assert "| corruption | table | 2 | 0 | 1 | 0 | 1 |" in text
    assert "| corruption | **all** | 2 | 0 | 1 | 0 | 1 |" in text
    assert "b.parquet, byte 4: c.parquet" in text
    assert "Not as it has to be" not in summary(faults[:3], 6)


def test_paths_of_the_configuration_hold_in_any_folder():
    settings = configuration(TINY)
    assert Path(settings["morphology"]["cells"]["pipeline"]).is_file()
    assert Path(settings["paths"]["environments"]).is_absolute()


def test_help_says_what_is_done():
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "faults", "--help"],
        env=os.environ | {"PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=True,
    )
    for word in ("--kills", "--corruptions", "--seed", "--folder", "silent", "SIGKILL"):
        assert word in done.stdout
