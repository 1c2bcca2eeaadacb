import numpy as np
import pytest
import torch

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.encoders.base import TokenEncoder
from morphpipe.encoders.extract import cache_targets, expand_views, extract_features, regrid
from morphpipe.imaging.rgb import rxrx1_to_rgb
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.tables.feature_table import read_features

RXRX1 = ("DNA", "ER", "actin", "RNA", "mito", "Golgi")


class MeanEncoder(TokenEncoder):
    """Means over pixels, which a test can make itself; counts the fields it is shown."""

    name = "mean"
    width = 2
    token_width = 1
    preprocessing = "none"

    def __init__(self, views=("all", "DNA", "rgb")):
        self.views = views
        self.seen = []

    def embed(self, images, view):
        self.check_view(view)
        self.seen.append((view, len(images)))
        x = images.double()
        x = x[:, :1] if view == "DNA" else x
        return torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3))], dim=1).float()

    def tokens(self, images):
        pooled = torch.nn.functional.avg_pool2d(images.double().mean(1, keepdim=True), 4)
        return pooled.flatten(2).transpose(1, 2).float() / 255

    def token_grid(self, height, width):
        return height // 4, width // 4


def _extract(fields, encoder, folder, views):
    outputs = {view: folder / f"{view}.parquet" for view in views}
    extract_features(
        fields, encoder, outputs, kind="resnet18", weights_sha256="a" * 64, batch_size=2
    )
    return {view: read_features([path]) for view, path in outputs.items()}


def test_every_view_of_every_field_once(make_fields, tmp_path):
    fields, images = make_fields(tmp_path / "a.zip", 5, names=RXRX1)
    encoder = MeanEncoder()
    found = _extract(fields, encoder, tmp_path, ["all", "DNA", "rgb"])
    rendering = np.stack([rxrx1_to_rgb(image) for image in images])
    for view, seen in (("all", images), ("DNA", images[:, :1]), ("rgb", rendering)):
        flat = seen.reshape(5, -1).astype(np.float64)
        expected = np.stack([flat.mean(1), flat.max(1)], axis=1)
        np.testing.assert_allclose(found[view].features, expected, rtol=1e-6)
        assert found[view].field_ids == tuple(fields.field_ids)
        assert not found[view].transforms.any()
        assert found[view].extraction.view == view
        assert sum(number for name, number in encoder.seen if name == view) == 5


def test_generated_colour_images_are_taken_as_they_are(make_fields, tmp_path):
    fields, images = make_fields(tmp_path / "a.zip", 3, names=("red", "green", "blue"))
    found = _extract(fields, MeanEncoder(), tmp_path, ["rgb"])["rgb"]
    np.testing.assert_allclose(found.features[:, 0], images.reshape(3, -1).mean(1), rtol=1e-6)


def test_colour_of_channels_in_another_order_stops(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", 3, names=RXRX1[::-1])
    with pytest.raises(DataError, match="no rule how the channels Golgi, mito"):
        _extract(fields, MeanEncoder(), tmp_path, ["rgb"])


def test_view_that_the_encoder_cannot_take_stops_before_reading(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", 3)
    (tmp_path / "a.zip").unlink()
    with pytest.raises(
        ConfigError, match="mean does not support the view 'ER'; choose from all, DNA"
    ):
        _extract(fields, MeanEncoder(), tmp_path, ["all", "ER"])


def test_damaged_field_leaves_no_table(make_fields, tmp_path):
    fields, _ = make_fields(tmp_path / "a.zip", 3)
    plane = fields.planes()[2][0]
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[plane["offset"] + plane["length"] // 2] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="Field f2, channel DNA"):
        _extract(fields, MeanEncoder(), tmp_path, ["all"])
    assert not (tmp_path / "all.parquet").exists()


def test_views_are_expanded_to_channels_that_the_encoder_knows():
    encoder = MeanEncoder(("all", "DNA", "ER"))
    assert expand_views(["all", "rgb", "channels"], encoder, ["DNA", "ER", "x"]) == [
        "all",
        "DNA",
        "ER",
    ]


def test_targets_are_the_tokens_of_turned_images(make_fields, tmp_path):
    fields, images = make_fields(tmp_path / "a.zip", 3, size=(16, 16))
    cache_targets(
        fields, MeanEncoder(), tmp_path / "t", grid=(4, 4), transforms=(0, 1, 4), batch_size=2
    )
    shards = ArrayShards([tmp_path / "t.parquet"])
    assert shards.shape == (16, 1)
    assert shards.index["field_id"].tolist() == [f"f{i}" for i in range(3) for _ in range(3)]
    read = shards.read(np.arange(9)).reshape(3, 3, 4, 4)
    grey = images.astype(np.float64).mean(1)
    for number, turned in enumerate((grey, np.rot90(grey, 1, (1, 2)), grey[..., ::-1])):
        means = turned.reshape(3, 4, 4, 4, 4).mean((2, 4)) / 255
        np.testing.assert_allclose(read[:, number], means, atol=1e-3)


def test_regrid_averages_and_keeps_what_is_constant():
    tokens = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    assert regrid(tokens, (3, 4), (3, 4)) is tokens
    constant = torch.full((1, 12, 5), 0.7)
    torch.testing.assert_close(regrid(constant, (3, 4), (6, 2)), torch.full((1, 12, 5), 0.7))
    # A plane stays a plane under linear interpolation, but for the border.
    ramp = torch.arange(8.0).repeat(8)[None, :, None]
    finer = regrid(ramp, (8, 8), (16, 16)).reshape(16, 16)
    expected = (torch.arange(16.0) + 0.5) / 2 - 0.5
    torch.testing.assert_close(finer[5, 2:14], expected[2:14])
