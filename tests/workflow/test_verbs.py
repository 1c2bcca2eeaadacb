"""Verbs on the results of a finished run."""

import pytest
import torch
import yaml
from safetensors.torch import load_file

from morphpipe.core.storage import read_parquet
from morphpipe.tables.archive import read_fields
from morphpipe.tables.metric_table import METRIC_SCHEMA

EXPERIMENT = "results/experiments/tiny"
SAMPLES = f"{EXPERIMENT}/samples/training-0_sampling-0/shard-0.zip"
AUTOENCODER = "results/autoencoders/tiny"


@pytest.fixture
def call(morphpipe, left_alone, tmp_path, monkeypatch):
    """Run a verb in the folder of the run, and return what it prints."""
    monkeypatch.chdir(left_alone.folder)
    threads = torch.get_num_threads()

    def run(*arguments):
        ended = morphpipe(*arguments)
        assert ended.code == 0, f"{arguments[0]}: {ended.err[-2000:]}"
        return ended.out

    yield run
    torch.set_num_threads(threads)


def test_images_are_generated_shown_and_measured(call, tmp_path):
    wanted, made = tmp_path / "conditions.csv", tmp_path / "generated.zip"
    wanted.write_text("cell_type,perturbation,images\nfibroblast,control,3\n")
    said = call(
        "generate", wanted, "--checkpoint", f"{EXPERIMENT}/training/seed-0/slice-1",
        "--autoencoder", AUTOENCODER, "--size", 64, "--steps", 2, "--output", made,
    )  # fmt: skip
    assert said.startswith("3 images")
    assert set(read_fields(made).keys()["cell_type"]) == {"fibroblast"}
    call("show", made, "--output", tmp_path / "generated.png")
    assert (tmp_path / "generated.png").read_bytes().startswith(b"\x89PNG")
    judge = "results/encoders/judge"
    call(
        "features", "judge", "--config", "config.yaml", "--fields", made, "--encoder", judge,
        "--view", "all", "--view", "DNA", "--output", tmp_path / "features",
    )  # fmt: skip
    assert {path.name for path in (tmp_path / "features").iterdir()} == {
        "all.parquet", "DNA.parquet",
    }  # fmt: skip
    said = call("distance", SAMPLES, SAMPLES, "--encoder", f"{judge}/weights.safetensors")
    # Of a set from itself it is nothing.
    assert float(said.split("Fréchet distance:")[1].split()[0]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("measure", ["distances", "matched", "memorisation"])
def test_a_measure_made_again_is_the_workflow_s(call, tmp_path, measure):
    output = tmp_path / f"{measure}.parquet"
    call("evaluate", measure, "tiny", "--config", "config.yaml", "--output", output)
    table = read_parquet(output)
    assert table.schema.equals(METRIC_SCHEMA)
    assert table.equals(read_parquet(f"{EXPERIMENT}/metrics/{measure}.parquet"))


def test_report_of_a_finished_run(call, tmp_path):
    page, site = tmp_path / "report.html", tmp_path / "site"
    call("report", "tiny", "--config", "config.yaml", "--output", page, "--site", site)
    assert "tiny" in page.read_text()
    assert (site / "index.html").is_file()


def test_an_autoencoder_is_exported_in_half_precision(call, tmp_path):
    said = call("export", AUTOENCODER, "--output", tmp_path / "packed")
    assert "diffusion_pytorch_model.safetensors" in said
    weights = load_file(tmp_path / "packed/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate", "distances", "other"), "has no "),
        (("report",), "has no "),
        (("report", "none"), "no 'none' in `experiments`"),
    ],
)
def test_what_the_run_has_not_made_is_named(call, morphpipe, left_alone, tmp_path, arguments, said):
    content = yaml.safe_load((left_alone.folder / "config.yaml").read_text())
    content["experiments"]["other"] = content["experiments"]["tiny"]
    content["paths"]["results"] = str(tmp_path / "empty")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    ended = morphpipe(*arguments, "--config", config, "--output", tmp_path / "out")
    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
