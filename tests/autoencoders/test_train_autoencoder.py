import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from morphpipe.autoencoders import training as module
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.autoencoders.training import (
    fit_autoencoder,
    save_autoencoder,
    texture_energies,
)
from morphpipe.config.networks import TrainedAutoencoder
from morphpipe.core.errors import DataError, TrainingError

SETTINGS = TrainedAutoencoder(
    origin="trained",
    split="s",
    block_out_channels=[8, 8],
    latent_channels=2,
    norm_num_groups=4,
    steps=101,
    batch_size=4,
    crop=16,
    learning_rate=1e-2,
)


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(0).standard_normal((4, 2, 24, 32))
    smooth = gaussian_filter(noise, (0, 0, 2, 2))
    return np.clip(128 + 500 * smooth, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def training(images):
    return fit_autoencoder(images, SETTINGS)


def test_training_lowers_the_loss(training):
    assert [entry["step"] for entry in training.history] == [0, 20, 40, 60, 80, 100]
    assert training.history[-1]["mse"] < 0.5 * training.history[0]["mse"]
    assert not training.model.training
    assert not any(p.requires_grad for p in training.model.parameters())


def test_same_seed_gives_the_same_weights(training, images):
    settings = SETTINGS.model_copy(update={"steps": 3, "batch_size": 2})
    once, again = (fit_autoencoder(images, settings).model.state_dict() for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)
    other = settings.model_copy(update={"seed": 1})
    assert not torch.equal(
        fit_autoencoder(images, other).model.state_dict()["encoder.conv_in.weight"],
        once["encoder.conv_in.weight"],
    )


def test_latents_are_normalised_by_what_was_measured(training, images, tmp_path):
    save_autoencoder(training.model, tmp_path / "autoencoder")
    moments = load_autoencoder(tmp_path / "autoencoder", "channels").moments(
        torch.from_numpy(images)
    )
    mean, std = moments[:, 0], moments[:, 1]
    for latent in range(2):
        values = mean[:, latent::2]
        total = values.var() + (std[:, latent::2] ** 2).mean()
        assert abs(float(values.mean())) < 0.3
        assert 0.6 < float(total) < 1.6


def test_half_precision_is_stored_and_loaded(training, images, tmp_path):
    save_autoencoder(training.model, tmp_path / "full")
    save_autoencoder(training.model, tmp_path / "half", half=True)
    name = "diffusion_pytorch_model.safetensors"
    sizes = [(tmp_path / folder / name).stat().st_size for folder in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    # The model itself stays as it was.
    assert next(training.model.parameters()).dtype == torch.float32
    full, half = (load_autoencoder(tmp_path / f, "channels") for f in ("full", "half"))
    assert next(half.model.parameters()).dtype == torch.float32
    planes = torch.from_numpy(images)
    torch.testing.assert_close(half.moments(planes), full.moments(planes), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 1, 15, 32), np.uint8, "crop of 16 pixels must fit into the fields"),
        ((2, 1, 32, 32), np.uint16, "8-bit"),
        ((2, 32, 32), np.uint8, r"\[N, C, H, W\]"),
        ((0, 1, 32, 32), np.uint8, "8-bit"),
    ],
)
def test_unfitting_images_are_refused(shape, dtype, message):
    with pytest.raises(DataError, match=message):
        fit_autoencoder(np.zeros(shape, dtype), SETTINGS)


def test_crop_has_to_be_a_multiple_of_the_reduction(images):
    with pytest.raises(DataError, match="multiple of 2"):
        fit_autoencoder(images, SETTINGS.model_copy(update={"crop": 15}))


def test_loss_that_is_not_finite_stops(images, monkeypatch):
    monkeypatch.setattr(module.functional, "mse_loss", lambda a, b: (a * float("nan")).mean())
    with pytest.raises(TrainingError, match="loss is nan at step 0"):
        fit_autoencoder(images, SETTINGS)


def test_what_is_passed_on_names_no_folder(training, tmp_path):
    save_autoencoder(training.model, tmp_path / "first")
    loaded = load_autoencoder(tmp_path / "first", "channels").model
    save_autoencoder(loaded, tmp_path / "second", half=True)
    config = (tmp_path / "second" / "config.json").read_text()
    assert str(tmp_path) not in config
    assert "latents_mean" in config


def test_rgb_crops_keep_their_colours_together():
    images = np.zeros((2, 3, 24, 24), np.uint8)
    images[:, 0], images[:, 1] = 255, 51  # orange everywhere, whatever the place and the turn
    crops = module._rgb_crops(images, np.random.default_rng(0), 5, 16)
    assert crops.shape == (5, 3, 16, 16)
    for channel, value in enumerate((1.0, -0.6, -1.0)):
        assert torch.allclose(crops[:, channel], torch.tensor(value), atol=1e-6)


def test_rgb_autoencoder_takes_three_planes_and_no_others():
    settings = SETTINGS.model_copy(update={"image_mode": "rgb", "steps": 2})
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    assert fit_autoencoder(images, settings).history[-1]["step"] == 1
    with pytest.raises(DataError, match="RGB images have three planes, these have 2"):
        fit_autoencoder(images[:, :2], settings)


def test_texture_energies_are_the_variance_of_white_noise():
    sigma = 0.2
    noise = np.random.default_rng(0).normal(0, sigma, (1, 1, 512, 512)).astype(np.float32)
    energies = texture_energies(torch.from_numpy(noise))
    assert [tuple(e.shape[1:2]) for e in energies] == [(8,)] * 3
    # Orthonormal filters keep the variance, a mean of n pixels divides it by n.
    for energy, reduction in zip(energies, (1, 2, 4), strict=True):
        expected = sigma**2 / reduction**2 + module.ROUNDING_VARIANCE
        assert energy.exp().mean((0, 2, 3)).numpy() == pytest.approx(expected, rel=0.06)


def test_texture_energies_of_even_planes_are_those_of_rounding():
    even = torch.full((1, 1, 12, 12), 0.3)
    for energy in texture_energies(even):
        assert torch.allclose(energy.exp(), torch.tensor(module.ROUNDING_VARIANCE), rtol=1e-3)


def test_texture_weight_brings_back_the_strength_of_noise():
    images = np.random.default_rng(0).integers(90, 166, (4, 1, 32, 32), dtype=np.uint8)
    spread = {}
    for weight in (0.0, 1.0):
        settings = SETTINGS.model_copy(update={"steps": 300, "texture_weight": weight})
        model = fit_autoencoder(images, settings).model
        planes = module.to_unit_range(torch.from_numpy(images)).expand(-1, 3, -1, -1)
        spread[weight] = float(model(planes).sample.mean(1).std() / planes[:, 0].std())
    assert spread[0.0] < 0.6 < 0.8 < spread[1.0] < 1.2


def test_texture_needs_a_crop_that_three_filters_fit_into():
    with pytest.raises(ValueError, match="crop of at least 12 pixels"):
        TrainedAutoencoder(origin="trained", split="s", texture_weight=0.1, crop=8)
