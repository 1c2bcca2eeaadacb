import json
import socket

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

from morphpipe.core.errors import DataError, WeightsError
from morphpipe.generators.unet import UNetGenerator
from morphpipe.generators.unet_folder import load_tables, load_unet, save_unet
from morphpipe.training.ema import ExponentialMovingAverage
from morphpipe.transport.diffusion import denoise

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing here may ask for anything outside of the folder."""

    def connect(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", connect)


def build(seed=0, perturbations=3, **options):
    torch.manual_seed(seed)
    return UNetGenerator.from_preset(
        "SD-test",
        latent_channels=4,
        latent_size=(8, 8),
        perturbations=perturbations,
        cell_types=2,
        **({"condition_width": 5} | options),
    )


def output(network):
    draw = torch.Generator().manual_seed(3)
    x, prompt = torch.randn(2, 4, 8, 8, generator=draw), torch.randn(2, 1, 768, generator=draw)
    with torch.no_grad():
        return network.eval()(x, torch.tensor([1, 900]), prompt).sample


def test_diffusers_loads_what_is_written(tmp_path):
    generator = build(condition_width=None, labels=("perturbation", "cell_type"))
    save_unet(tmp_path / "out", generator)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"unet", "scheduler", "condition.safetensors"}
    theirs = UNet2DConditionModel.from_pretrained(tmp_path / "out" / "unet", local_files_only=True)
    assert torch.equal(output(theirs), output(generator.network))
    assert torch.equal(output(load_unet(tmp_path / "out")), output(generator.network))
    tables = load_file(tmp_path / "out" / "condition.safetensors")
    assert set(tables) == {"perturbation.weight", "cell_type.weight"}
    assert torch.equal(tables["perturbation.weight"], generator.perturbation.weight)


def test_diffusers_samples_as_we_do_from_what_is_written(tmp_path):
    """Both halves of the folder in diffusers' own loop, with the same noise."""
    generator = build()
    save_unet(tmp_path / "out", generator)
    network = UNet2DConditionModel.from_pretrained(tmp_path / "out/unet", local_files_only=True)
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "out/scheduler", local_files_only=True)
    scheduler.set_timesteps(5)
    prompt = torch.randn(2, 1, 768, generator=torch.Generator().manual_seed(1))
    draw = torch.Generator().manual_seed(7)
    expected = torch.randn(2, 4, 8, 8, generator=draw)
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            predicted = network(expected, timestep, prompt).sample
            expected = scheduler.step(predicted, timestep, expected, generator=draw).prev_sample
    draw = torch.Generator().manual_seed(7)
    found = denoise(
        lambda x, t: generator.network(x, t, prompt).sample,
        lambda step: torch.randn(2, 4, 8, 8, generator=draw),
        steps=5,
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_average_is_written_and_the_generator_left_alone(tmp_path):
    generator, other = build(0, condition_width=None), build(1, condition_width=None)
    before = output(generator.network)
    average = ExponentialMovingAverage(other, 0.9).state_dict()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    save_unet(tmp_path / "out", generator, average)
    assert not (tmp_path / "out" / "old").exists()
    assert torch.equal(output(load_unet(tmp_path / "out")), output(other.network))
    assert torch.equal(output(generator.network), before)
    load_tables(tmp_path / "out", generator)
    assert torch.equal(generator.perturbation.weight, other.perturbation.weight)
    with pytest.raises(DataError, match="do not fit"):
        save_unet(tmp_path / "none", build(perturbations=4, condition_width=None), average)
    assert not (tmp_path / "none").exists()


def test_where_a_network_came_from_is_not_written(tmp_path):
    save_unet(tmp_path / "first", build())
    generator = UNetGenerator(
        load_unet(tmp_path / "first"), perturbations=1, cell_types=1, condition_width=5
    )
    save_unet(tmp_path / "second", generator)
    config = (tmp_path / "second" / "unet" / "config.json").read_text()
    assert str(tmp_path) not in config
    assert json.loads(config)["block_out_channels"] == [8, 16]


def test_tables_that_do_not_fit_stop(tmp_path):
    save_unet(tmp_path / "out", build(condition_width=None))
    with pytest.raises(WeightsError, match="other perturbations"):
        load_tables(tmp_path / "out", build(condition_width=None, perturbations=4))
    with pytest.raises(WeightsError, match="other perturbations"):
        load_tables(
            tmp_path / "out", build(condition_width=None, labels=("perturbation", "cell_type"))
        )
    save_unet(tmp_path / "plain", build())
    assert not (tmp_path / "plain" / "condition.safetensors").exists()
    load_tables(tmp_path / "plain", build())
    with pytest.raises(WeightsError, match=r"perturbation\.weight cannot be read"):
        load_tables(tmp_path / "plain", build(condition_width=None))


@pytest.fixture
def released(tmp_path):
    """A checkpoint as MorphoDiff's code writes one: live and averaged weights, and the rest."""
    live, averaged = build(0).network, build(1).network
    folder = tmp_path / "checkpoint-500"
    average = EMAModel(
        averaged.parameters(), model_cls=UNet2DConditionModel, model_config=averaged.config
    )
    average.save_pretrained(folder / "unet_ema")
    live.save_pretrained(folder / "unet")
    (folder / "optimizer.bin").write_bytes(b"any")
    (folder / "random_states_0.pkl").write_bytes(b"any")
    return folder, live, averaged


def test_the_released_layout_is_sampled_from_its_average(released):
    folder, live, averaged = released
    assert json.loads((folder / "unet_ema" / "config.json").read_text())["decay"] == 0.9999
    network = load_unet(folder)
    assert torch.equal(output(network), output(averaged))
    assert not torch.allclose(output(network), output(live))
    assert next(network.parameters()).dtype == torch.float32
    assert torch.equal(output(load_unet(folder / "unet")), output(live))
    # A network of diffusers' takes conditions at once.
    UNetGenerator(network, perturbations=1, cell_types=1, condition_width=512)


def test_a_broken_average_is_not_replaced_by_the_live_weights(released):
    folder = released[0]
    (folder / "unet_ema" / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"unet_ema has a config\.json but no weights"):
        load_unet(folder)
    (folder / "unet_ema" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"unet_ema has no config\.json"):
        load_unet(folder)


def test_pickles_and_half_precision_are_read(tmp_path):
    network = build().network
    network.save_pretrained(tmp_path / "unet", safe_serialization=False)
    assert {path.suffix for path in (tmp_path / "unet").iterdir()} == {".json", ".bin"}
    assert torch.equal(output(load_unet(tmp_path)), output(network))
    network.half().save_pretrained(tmp_path / "half")
    assert torch.equal(output(load_unet(tmp_path / "half")), output(network.float()))


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_runs_no_code(tmp_path):
    network = build().network
    network.save_pretrained(tmp_path, safe_serialization=False)
    place = tmp_path / "diffusion_pytorch_model.bin"
    torch.save(network.state_dict() | {"any": Intruder(str(tmp_path / "made"))}, place)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_unet(tmp_path)
    assert not (tmp_path / "made").exists()


def test_what_is_not_there_or_does_not_fit_stops_in_words(tmp_path):
    with pytest.raises(WeightsError, match="unet_ema/ and in unet/"):
        load_unet(tmp_path / "none")
    network = build().network
    network.save_pretrained(tmp_path / "unet")
    place = tmp_path / "unet" / WEIGHTS
    weights = load_file(place)
    left = {name: tensor for name, tensor in weights.items() if name != "conv_in.bias"}
    save_file(left, place)
    with pytest.raises(WeightsError, match=r"conv_in\.bias"):
        load_unet(tmp_path)
    save_file(weights | {"conv_in.bias": torch.zeros(9)}, place)
    with pytest.raises(WeightsError, match="does not fit"):
        load_unet(tmp_path)
    place.write_bytes(place.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_unet(tmp_path)
    config = tmp_path / "unet" / "config.json"
    config.write_text(config.read_text().replace("UNet2DConditionModel", "AutoencoderKL"))
    with pytest.raises(WeightsError, match="contains a AutoencoderKL"):
        load_unet(tmp_path)
    config.write_text("{}")
    with pytest.raises(WeightsError, match="not the configuration"):
        load_unet(tmp_path)


def test_weights_that_are_no_numbers_are_named(tmp_path):
    generator = build()
    with torch.no_grad():
        next(generator.network.parameters()).view(-1)[0] = float("nan")
    save_unet(tmp_path / "out", generator)
    with pytest.raises(WeightsError, match=r"safetensors: 1 of the .* are infinite or not"):
        load_unet(tmp_path / "out")
