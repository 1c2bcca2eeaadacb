import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import morphpipe.autoencoders.autoencoder as autoencoder_module
from morphpipe.autoencoders.autoencoder import load_kl_autoencoder as load_autoencoder
from morphpipe.autoencoders.base import CONFIG, to_8bit, to_unit_range
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.tables.array_shards import sample_latents

WEIGHTS = "diffusion_pytorch_model.safetensors"


def _images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_unit_range_and_back_for_every_intensity():
    every = torch.arange(256, dtype=torch.uint8)
    scaled = to_unit_range(every)
    assert scaled.min() == -1
    assert scaled.max() == 1
    assert torch.equal(to_8bit(scaled), every)
    assert to_8bit(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_moments_are_those_of_each_stacked_channel_alone(folder, model):
    autoencoder = load_autoencoder(folder, "channels")
    images = _images(2, 6, 16, 24)
    moments = autoencoder.moments(images)
    assert moments.shape == (2, 2, 12, 8, 12)
    for field in range(2):
        for channel in range(6):
            plane = images[field, channel].float() / 127.5 - 1
            with torch.no_grad():
                posterior = model.encode(plane[None, None].repeat(1, 3, 1, 1)).latent_dist
            place = slice(2 * channel, 2 * channel + 2)
            for number, expected in enumerate((posterior.mean, posterior.std)):
                torch.testing.assert_close(
                    moments[field, number, place], expected[0] * 0.18215, rtol=1e-4, atol=1e-5
                )


def test_decoding_averages_the_three_planes_of_each_channel(folder, model):
    autoencoder = load_autoencoder(folder, "channels")
    latents = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(1))
    decoded = autoencoder.decode(latents, 3)
    assert decoded.shape == (2, 3, 16, 16)
    assert decoded.dtype == torch.uint8
    for channel in range(3):
        with torch.no_grad():
            planes = model.decode(latents[:, 2 * channel : 2 * channel + 2] / 0.18215).sample
        expected = (planes.mean(dim=1) + 1) * 127.5
        # Half a grey value of rounding, and a little of the sums.
        difference = (decoded[:, channel].float() - expected.clamp(0, 255)).abs()
        assert difference.max() <= 0.501


def test_many_planes_are_the_same_as_few(folder, monkeypatch):
    autoencoder = load_autoencoder(folder, "channels")
    images = _images(3, 2, 16, 16)
    together = autoencoder.moments(images)
    decoded = autoencoder.decode(together[:, 0], 2)
    monkeypatch.setattr(autoencoder_module, "_CPU_PIXELS", 4 * 16 * 16)  # six planes in two parts
    torch.testing.assert_close(autoencoder.moments(images), together)
    assert (autoencoder.decode(together[:, 0], 2).int() - decoded.int()).abs().max() <= 1


@pytest.mark.parametrize(("upcast", "native"), [(True, True), (False, False), (False, True)])
def test_bfloat16_where_weights_and_device_allow_it(
    folder, change_config, monkeypatch, upcast, native
):
    monkeypatch.setattr(autoencoder_module, "computes_bfloat16", lambda device: native)
    change_config(force_upcast=upcast)
    autoencoder = load_autoencoder(folder, "channels")
    assert autoencoder.half == (native and not upcast)
    exact = replace(autoencoder, half=False)
    images = _images(2, 2, 16, 16)
    moments = exact.moments(images)
    assert autoencoder.moments(images).dtype == torch.float32
    torch.testing.assert_close(autoencoder.moments(images), moments, rtol=0.02, atol=0.02)
    difference = (
        autoencoder.decode(moments[:, 0], 2).int() - exact.decode(moments[:, 0], 2).int()
    ).abs()
    assert difference.max() <= (2 if autoencoder.half else 0)


def test_rgb_is_encoded_and_decoded_as_one_image(folder, model):
    autoencoder = load_autoencoder(folder, "rgb")
    images = _images(2, 3, 16, 16)
    with torch.no_grad():
        posterior = model.encode(images.float() / 127.5 - 1).latent_dist
        expected = model.decode(posterior.mean).sample
    moments = autoencoder.moments(images)
    torch.testing.assert_close(moments[:, 0], posterior.mean * 0.18215, rtol=1e-4, atol=1e-5)
    decoded = autoencoder.decode(moments[:, 0], 3).float()
    assert (decoded - ((expected + 1) * 127.5).clamp(0, 255)).abs().max() <= 0.51
    assert autoencoder.latent_channels(3) == 2


def test_normalisation_by_mean_and_deviation_and_its_inverse(folder, change_config, model):
    change_config(latents_mean=[1.0, -2.0], latents_std=[0.5, 3.0])
    autoencoder = load_autoencoder(folder, "channels")
    images = _images(1, 1, 16, 16)
    with torch.no_grad():
        posterior = model.encode(to_unit_range(images).repeat(1, 3, 1, 1)).latent_dist
        plain = model.decode(posterior.mean).sample.mean(1)
    mean, deviation = autoencoder.moments(images)[0]
    torch.testing.assert_close(mean[0], (posterior.mean[0, 0] - 1) / 0.5, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(deviation[1], posterior.std[0, 1] / 3, rtol=1e-4, atol=1e-5)
    decoded = autoencoder.decode(mean[None], 1)
    assert (decoded[0].float() - ((plain + 1) * 127.5).clamp(0, 255)).abs().max() <= 0.51
    # A factor in the configuration stands above both.
    assert load_autoencoder(folder, "channels", scaling_factor=0.5).std.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("size", [(15, 16), (16, 15)])
def test_indivisible_sizes_are_refused(folder, size):
    with pytest.raises(DataError, match=f"{size[0]}x{size[1]} pixels .* multiples of 2"):
        load_autoencoder(folder, "channels").moments(_images(1, 1, *size))


def test_other_depths_and_channels_are_refused(folder):
    with pytest.raises(DataError, match="8-bit"):
        load_autoencoder(folder, "channels").moments(torch.zeros(1, 1, 16, 16, dtype=torch.uint16))
    with pytest.raises(DataError, match="three planes, the fields have 6"):
        load_autoencoder(folder, "rgb").moments(_images(1, 6, 16, 16))


def test_older_names_of_the_attention_are_understood(folder):
    # stabilityai/sd-vae-ft-mse stores query, key, value and proj_attn.
    images = _images(1, 2, 16, 16)
    expected = load_autoencoder(folder, "channels").moments(images)
    renamed = {}
    for name, tensor in load_file(folder / WEIGHTS).items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value")):
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name.replace(".to_out.0.", ".proj_attn.")] = tensor
    assert any(".proj_attn." in name for name in renamed)
    save_file(renamed, folder / WEIGHTS, metadata={"format": "pt"})
    torch.testing.assert_close(load_autoencoder(folder, "channels").moments(images), expected)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name} is missing"):
        load_autoencoder(folder, "channels")


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_weights_that_do_not_fit_are_refused(folder, fault):
    tensors = load_file(folder / WEIGHTS)
    if fault == "missing":
        del tensors["encoder.conv_in.weight"]
    elif fault == "unknown":
        tensors["encoder.other.weight"] = torch.zeros(1)
    else:
        tensors["encoder.conv_in.weight"] = torch.zeros(4, 3, 3, 3)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="do not fit"):
        load_autoencoder(folder, "channels")


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_damaged_files_are_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=str(folder)):
        load_autoencoder(folder, "channels")


def test_fingerprint_follows_weights_mode_and_factor(folder):
    plain = load_autoencoder(folder, "channels").fingerprint()
    assert load_autoencoder(folder, "channels").fingerprint() == plain
    others = {
        load_autoencoder(folder, "rgb").fingerprint(),
        load_autoencoder(folder, "channels", scaling_factor=1.0).fingerprint(),
    }
    tensors = load_file(folder / WEIGHTS)
    tensors["encoder.conv_in.bias"] = tensors["encoder.conv_in.bias"] + 1
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    others.add(load_autoencoder(folder, "channels").fingerprint())
    assert len(others | {plain}) == 4


def test_latents_are_drawn_from_their_moments():
    moments = np.stack([np.full((3, 1, 2, 2), 2.0), np.full((3, 1, 2, 2), 0.5)], axis=1)
    noise = np.random.default_rng(0).standard_normal((3, 1, 2, 2)).astype(np.float32)
    drawn = sample_latents(moments.astype(np.float16), noise)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, 2 + 0.5 * noise, rtol=1e-6)


def test_weights_and_configurations_that_cannot_be_used(folder, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "weights.json").unlink(missing_ok=True)
    weights = load_file(damaged / WEIGHTS)
    name = next(iter(weights))
    weights[name].view(-1)[0] = float("nan")
    save_file(weights, damaged / WEIGHTS)
    with pytest.raises(WeightsError, match=rf"{WEIGHTS}: 1 of the .* are infinite or not"):
        load_autoencoder(damaged, "channels")
    (damaged / CONFIG).write_text('{"a":' * 100_000)
    with pytest.raises(WeightsError, match="nested too deeply"):
        load_autoencoder(damaged, "channels")
