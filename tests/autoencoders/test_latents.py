import numpy as np
import pytest
import torch

from morphpipe.autoencoders.latents import cache_moments
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.core.errors import DataError
from morphpipe.imaging.rgb import rxrx1_to_rgb
from morphpipe.tables.array_shards import ArrayShards

RXRX1 = ("DNA", "ER", "actin", "RNA", "mito", "Golgi")


def test_cached_latents_equal_direct_encoding(folder, make_fields, tmp_path):
    autoencoder = load_autoencoder(folder, "channels")
    fields, images = make_fields(tmp_path / "a.zip", 5)
    cache_moments(fields, autoencoder, tmp_path / "m", transforms=(0, 3, 4), batch_size=2)
    shards = ArrayShards([tmp_path / "m.parquet"])
    assert shards.shape == (2, 4, 8, 8)
    assert shards.made_by == autoencoder.fingerprint()
    assert list(zip(shards.index["field_id"], shards.index["transform"], strict=True)) == [
        (f"f{i}", transform) for i in range(5) for transform in (0, 3, 4)
    ]
    read = shards.read(np.arange(15)).reshape(5, 3, 2, 4, 8, 8)
    turned = (images, np.rot90(images, 3, (2, 3)), images[..., ::-1])
    for number, view in enumerate(turned):
        direct = autoencoder.moments(torch.from_numpy(np.ascontiguousarray(view))).numpy()
        # float16 keeps 11 bits.
        np.testing.assert_allclose(read[:, number], direct, rtol=2**-10, atol=1e-4)


def test_rgb_latents_are_those_of_the_rendering(folder, make_fields, tmp_path):
    autoencoder = load_autoencoder(folder, "rgb")
    fields, images = make_fields(tmp_path / "a.zip", 2, names=RXRX1)
    cache_moments(fields, autoencoder, tmp_path / "m")
    rendering = np.stack([rxrx1_to_rgb(image) for image in images]).transpose(0, 3, 1, 2)
    direct = autoencoder.moments(torch.from_numpy(rendering.copy())).numpy()
    read = ArrayShards([tmp_path / "m.parquet"]).read(np.arange(2))
    np.testing.assert_allclose(read, direct, rtol=2**-10, atol=1e-4)


def test_rgb_of_channels_in_another_order_stops(folder, make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", 2, names=RXRX1[::-1])
    with pytest.raises(DataError, match="no rule how the channels Golgi, mito"):
        cache_moments(fields, load_autoencoder(folder, "rgb"), tmp_path / "m")


def test_network_that_gives_nan_leaves_no_shard(folder, make_fields, tmp_path):
    autoencoder = load_autoencoder(folder, "channels")
    autoencoder.std[:] = float("nan")
    fields, _ = make_fields(tmp_path / "a.zip", 2)
    with pytest.raises(DataError, match="field f0 gives values that are not finite"):
        cache_moments(fields, autoencoder, tmp_path / "m")
    assert not list(tmp_path.glob("m.*"))
