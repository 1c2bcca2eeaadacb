"""Pixels in place of latents."""

import json

import numpy as np
import pytest
import torch

from morphpipe.autoencoders.latents import cache_moments
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.autoencoders.pixels import Pixels, save_pixels
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.tables.array_shards import ArrayShards, sample_latents


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_images_come_back_bit_for_bit(patch):
    images = torch.randint(0, 256, (3, 5, 8, 12), dtype=torch.uint8)
    autoencoder = Pixels("channels", patch)
    moments = autoencoder.moments(images)
    assert moments.shape == (3, 1, *autoencoder.latent_shape((5, 8, 12)))
    assert moments.min() >= -1
    assert moments.max() <= 1
    # As float16, in which they are cached.
    assert torch.equal(autoencoder.decode(moments[:, 0].half(), 5), images)


def test_a_place_holds_a_square_of_pixels():
    images = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    place = Pixels("channels", 2).moments(images)[0, 0, :, 1, 0]
    expected = np.array([8, 9, 12, 13]) / 127.5 - 1
    np.testing.assert_allclose(place.numpy(), expected, rtol=1e-6)


def test_the_folder_says_what_it_is(tmp_path):
    save_pixels(tmp_path, 2)
    autoencoder = load_autoencoder(tmp_path, "rgb")
    assert (autoencoder.mode, autoencoder.downsampling) == ("rgb", 2)
    assert autoencoder.latent_shape((3, 8, 8)) == (12, 4, 4)
    assert autoencoder.fingerprint() != Pixels("rgb", 4).fingerprint()
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"patch": "two"}))
    with pytest.raises(WeightsError, match="patch 'two'"):
        load_autoencoder(tmp_path, "rgb")


def test_what_does_not_fit_is_a_sentence():
    with pytest.raises(DataError, match="patches of 4"):
        Pixels("channels", 4).latent_shape((3, 8, 6))
    with pytest.raises(DataError, match="three planes"):
        Pixels("rgb").latent_shape((6, 8, 8))
    with pytest.raises(DataError, match="8 bit"):
        Pixels("channels").moments(torch.zeros(1, 1, 2, 2, dtype=torch.int32))


def test_pixels_are_cached_without_a_deviation(tmp_path, make_fields):
    fields, images = make_fields(tmp_path / "a.zip", 3, size=(8, 8))
    autoencoder = Pixels("channels", 2)
    cache_moments(fields, autoencoder, tmp_path / "shard-0", transforms=[0, 4])
    shards = ArrayShards([tmp_path / "shard-0.parquet"])
    assert shards.shape == (1, 8, 4, 4)
    rows = shards.read(np.array([0, 1]))
    latents = sample_latents(rows, np.ones((2, 8, 4, 4), np.float32))
    decoded = autoencoder.decode(torch.from_numpy(latents), 2).numpy()
    np.testing.assert_array_equal(decoded[0], images[0])
    np.testing.assert_array_equal(decoded[1], images[0][:, :, ::-1])
