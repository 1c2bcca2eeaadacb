from pathlib import Path

import pytest
import yaml

from morphpipe.config.configuration import parse_configuration
from morphpipe.plan.estimate import estimate_run
from morphpipe.plan.images import evaluation_memory, generated_images

ROOT = Path(__file__).parents[2]


def demo():
    return yaml.safe_load((ROOT / "config" / "demo.yaml").read_text("utf-8"))


def stage(content, name):
    """Jobs, operations and bytes of the stage whose name has this in it."""
    stages = estimate_run(parse_configuration(content)).stages
    (found,) = [numbers for title, *numbers in stages if name in title]
    return found


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def sheet(channels):
    """Latents of three fields of one plate."""
    content = demo()
    content["datasets"]["screen"] = {
        "source": "sheet",
        "sheet": "sheet.csv",
        "channels": [{"name": name, "stain": name} for name in channels],
        "preprocessing": {"size": 96},
    }
    return content


def test_channels_are_those_of_the_data(tmp_path, monkeypatch):
    (tmp_path / "sheet.csv").write_text("plate,well\np1,A01\np1,A02\np1,A03\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    sizes = {number: stage(sheet("abcdefgh"[:number]), "latents")[2] for number in (1, 3, 8)}
    # Two orientations of 4 channels of 12x12, mean and deviation in float16.
    assert sizes == {n: 3 * 2 * n * 4 * 12**2 * 2 * 2 for n in sizes}


def test_a_trained_autoencoder_counts_by_its_own_channels_and_reduction():
    usual = stage(demo(), "latents")[2]
    content = demo()
    content["autoencoders"]["small"] = {
        "origin": "trained",
        "split": "screen",
        "block_out_channels": [16, 32, 32],
        "latent_channels": 8,
    }
    # Twice the channels on twice as many rows and columns.
    assert stage(content, "latents")[2] == 8 * usual
    assert stage(content, "sample")[1] > stage(demo(), "sample")[1]


def test_weights_at_hand_are_asked_for_their_shape(tmp_path):
    content = demo()
    usual = stage(content, "latents")[2]
    (tmp_path / "config.json").write_text(
        '{"latent_channels": 16, "block_out_channels": [1, 1, 1, 1]}', "utf-8"
    )
    content["weights"]["simulated-autoencoder"]["source"] = f"file:{tmp_path}"
    assert stage(content, "latents")[2] == 4 * usual


def test_memory_of_measures_grows_with_the_images():
    few = parse_configuration(demo())
    (name,) = few.experiments
    assert evaluation_memory(few, name) == 8000
    content = demo()
    content["experiments"][name]["sampling"]["per_condition"] = 100_000
    many = parse_configuration(content)
    images = generated_images(many, many.experiments[name])
    per_condition = few.experiments[name].sampling.per_condition
    assert images * per_condition == generated_images(few, few.experiments[name]) * 100_000
    # Eight times the images of 512 numbers each, and what the libraries take.
    assert evaluation_memory(many, name) == pytest.approx(2000 + 8 * images * 512 * 4e-6, rel=0.01)
