"""The global batch is what is configured, whatever the number of processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys
from pathlib import Path

import pandas as pd

from morphpipe.config.experiments import Training
from morphpipe.config.generators import SiT
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.training.data import open_training_data
from morphpipe.training.loop import train
from morphpipe.training.settings import TrainingSettings

folder, output = Path(sys.argv[1]), Path(sys.argv[2])
vocabulary = Vocabulary(
    ("control", "p1", "p2"), ("HUVEC", "U2OS"), ("none", "sirna", "sirna"), ("control",)
)
fields = pd.DataFrame(
    {
        "field_id": [f"f{i:03d}" for i in range(10)],
        "perturbation": [vocabulary.perturbations[i % 3] for i in range(10)],
        "cell_type": [vocabulary.cell_types[i % 2] for i in range(10)],
    }
)
data = open_training_data(
    fields, [folder / "moments0.parquet", folder / "moments1.parquet"], None, vocabulary, [0]
)
settings = TrainingSettings(
    experiment="several",
    seed=0,
    image_mode="channels",
    codec="none",
    channels=("DNA",),
    generator=SiT(kind="sit", architecture="SiT-test/2"),
    training=Training(steps=6, slices=1, batch_size=4, precision="fp32", learning_rate=1e-3),
)
train(settings, data, vocabulary, work=output / "work", output=output / "last", until=6)
"""


def run(folder: Path, output: Path, processes: int) -> dict[str, torch.Tensor]:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--num_processes", str(processes), "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, str(script), str(folder), str(output)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(output / "last/ema.safetensors")


@pytest.mark.timeout(500)
def test_two_processes_train_the_same_model_as_one(make_data, tmp_path):
    make_data(10)
    one = run(tmp_path, tmp_path / "one", 1)
    two = run(tmp_path, tmp_path / "two", 2)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # The mean over two halves rounds otherwise than the mean over all, no more.
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
