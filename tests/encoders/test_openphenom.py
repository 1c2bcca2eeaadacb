from functools import partial

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import ParallelScalingBlock

from morphpipe.core.errors import ConfigError, DataError, WeightsError
from morphpipe.encoders.openphenom import OpenPhenom, OpenPhenomEncoder

PREFIX = "encoder.vit_backbone."


def published_shapes():
    """Names and shapes of the published encoder, written down from its file's description."""
    shapes = {
        "cls_token": (1, 1, 384),
        "pos_embed": (1, 2817, 384),
        "patch_embed.proj.weight": (384, 1, 16, 16),
        "patch_embed.proj.bias": (384,),
        "fc_norm.weight": (384,),
        "fc_norm.bias": (384,),
    }
    for block in range(12):
        for name, shape in {
            "mlp_bias": (1536,),
            "in_norm.weight": (384,),
            "in_norm.bias": (384,),
            "in_proj.weight": (2688, 384),
            "q_norm.weight": (64,),
            "q_norm.bias": (64,),
            "k_norm.weight": (64,),
            "k_norm.bias": (64,),
            "attn_out_proj.weight": (384, 384),
            "attn_out_proj.bias": (384,),
            "mlp_out_proj.weight": (384, 1536),
            "mlp_out_proj.bias": (384,),
            "ls.gamma": (384,),
        }.items():
            shapes[f"blocks.{block}.{name}"] = shape
    return {PREFIX + name: shape for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def published():
    """A state dict as the published one, with random weights that every layer can be seen by."""
    generator = torch.Generator().manual_seed(0)
    state = {
        name: 0.1 * torch.randn(shape, generator=generator)
        for name, shape in published_shapes().items()
    }
    # The published positions are the same for every channel.
    positions = state[PREFIX + "pos_embed"]
    positions[:, 1:] = positions[:, 1:257].repeat(1, 11, 1)
    state["decoder.blocks.0.weight"] = torch.zeros(2)
    state["encoder_decoder_proj.weight"] = torch.zeros(2)
    state["decoder_pred.bias"] = torch.zeros(2)
    return state


@pytest.fixture(scope="module")
def network(published):
    model = OpenPhenom().eval()
    model.load_state_dict(published)
    return model


@pytest.fixture(scope="module")
def reference(published):
    """timm's own vision transformer with these weights, for one channel."""
    model = timm.create_model(
        "vit_small_patch16_224",
        pretrained=False,
        img_size=256,
        in_chans=1,
        num_classes=0,
        class_token=True,
        global_pool="avg",
        init_values=1e-4,
        qk_norm=True,
        qkv_bias=False,
        block_fn=ParallelScalingBlock,
    ).eval()
    state = {k.removeprefix(PREFIX): v for k, v in published.items() if k.startswith(PREFIX)}
    state["pos_embed"] = state["pos_embed"][:, :257]
    model.load_state_dict(state)
    return model


def draw(n, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, channels, height, width), generator=generator).byte()


def normalised(images):
    """Instance norm in float64 numpy."""
    x = images.numpy().astype(np.float64) / 255
    x = x - x.mean((2, 3), keepdims=True)
    return torch.from_numpy(x / np.sqrt((x**2).mean((2, 3), keepdims=True) + 1e-5)).float()


def test_state_dict_is_the_published_one():
    shapes = {name: tuple(tensor.shape) for name, tensor in OpenPhenom().state_dict().items()}
    assert shapes == published_shapes()
    assert len(shapes) == 162


@torch.no_grad()
def test_one_channel_equals_timms_vision_transformer(network, reference):
    images = draw(2, 1, 256, 256)
    expected = reference.forward_features(normalised(images))[:, 1:]
    torch.testing.assert_close(network.tokens(images), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network.embed(images), expected.mean(1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_channels_follow_one_another_as_tokens(network, reference):
    """Against tokens made patch by patch, channel by channel, and timm's blocks."""
    images = draw(1, 3, 256, 256)
    x = normalised(images)[0]
    weight = reference.patch_embed.proj.weight.reshape(384, 256)
    tokens = [reference.cls_token[0, 0] + reference.pos_embed[0, 0]]
    for channel in range(3):
        for row in range(16):
            for column in range(16):
                patch = x[channel, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                token = weight @ patch.reshape(-1) + reference.patch_embed.proj.bias
                tokens.append(token + reference.pos_embed[0, 1 + 16 * row + column])
    expected = reference.blocks(torch.stack(tokens)[None])[0, 1:].reshape(3, 256, 384)
    close = partial(torch.testing.assert_close, atol=1e-4, rtol=1e-4)
    close(network.tokens(images)[0], expected.mean(0))
    close(network.tokens(images, concatenate=True)[0, 5], expected[:, 5].reshape(-1))
    close(network.embed(images)[0], expected.mean((0, 1)))
    close(network.embed(images, channelwise=True)[0], expected.mean(1).reshape(-1))


def test_tiles_are_put_back_into_their_places(network):
    images = draw(1, 1, 512, 512)
    tokens = network.tokens(images)
    assert tokens.shape == (1, 1024, 384)
    grid = tokens.reshape(32, 32, 384)
    tiles = []
    for row in range(2):
        for column in range(2):
            tile = images[:, :, 256 * row : 256 * row + 256, 256 * column : 256 * column + 256]
            expected = network.tokens(tile).reshape(16, 16, 384)
            found = grid[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            tiles.append(network.embed(tile))
    torch.testing.assert_close(
        network.embed(images), torch.stack(tiles).mean(0), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("form", ["safetensors", "pickle", "wrapped"])
def test_published_file_loads_unchanged(published, network, tmp_path, form):
    path = tmp_path / "model.safetensors"  # the hub's name, whatever is inside
    if form == "safetensors":
        save_file(published, path)
    else:
        torch.save(published if form == "pickle" else {"state_dict": published}, path)
    loaded = OpenPhenom.from_file(path).state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded[name], tensor), name


def test_wrong_weights_are_named(published, tmp_path):
    state = dict(published)
    del state[PREFIX + "cls_token"]
    state[PREFIX + "norm.weight"] = torch.zeros(384)
    state[PREFIX + "fc_norm.bias"] = torch.zeros(383)
    save_file(state, tmp_path / "wrong")
    with pytest.raises(WeightsError) as caught:
        OpenPhenom.from_file(tmp_path / "wrong")
    for part in ("1 missing", "cls_token", "1 unexpected", "norm.weight", "[383] instead of [384]"):
        assert part in str(caught.value)


def test_only_harmless_files_are_read(tmp_path):
    with pytest.raises(WeightsError, match=r"weights file .* does not exist"):
        OpenPhenom.from_file(tmp_path / "absent")
    torch.save({"state_dict": {}, "code": partial(print, "run")}, tmp_path / "code")
    with pytest.raises(WeightsError, match="neither"):
        OpenPhenom.from_file(tmp_path / "code")
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    with pytest.raises(WeightsError, match="neither"):
        OpenPhenom.from_file(tmp_path / "noise")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(WeightsError, match="neither"):
        OpenPhenom.from_file(tmp_path / "empty")
    torch.save({"epoch": 3}, tmp_path / "other")
    with pytest.raises(WeightsError, match="state dict"):
        OpenPhenom.from_file(tmp_path / "other")


def test_truncated_files_are_errors(published, tmp_path):
    save_file(published, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "part").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        OpenPhenom.from_file(tmp_path / "part")


def test_views_come_from_one_pass(network):
    encoder = OpenPhenomEncoder(network, ["DNA", "ER"])
    assert encoder.views == ("all", "DNA", "ER", "rgb")
    images = draw(1, 2, 256, 256)
    calls = []
    handle = network.encoder.vit_backbone.register_forward_hook(lambda *_: calls.append(1))
    views = encoder.embed_views(images, ["DNA", "all", "ER"])
    handle.remove()
    assert len(calls) == 1
    channelwise = network.embed(images, channelwise=True)
    torch.testing.assert_close(views["DNA"], channelwise[:, :384])
    torch.testing.assert_close(views["ER"], channelwise[:, 384:])
    torch.testing.assert_close(views["all"], network.embed(images))
    torch.testing.assert_close(encoder.embed(images, "ER"), views["ER"])
    assert encoder.token_grid(512, 256) == (32, 16)


@torch.no_grad()
def test_the_norm_may_be_over_the_whole_image(network, published):
    whole = OpenPhenom(norm="image").eval()
    whole.load_state_dict(published)
    images = draw(1, 2, 512, 256)
    images[:, :, 256:] //= 3  # the lower tile is darker
    x = normalised(images)
    expected = [
        network.encoder.vit_backbone(x[:, :, rows]).reshape(2, 16, 16, 384).mean(0)
        for rows in (slice(0, 256), slice(256, 512))
    ]
    expected = torch.cat(expected).reshape(1, 512, 384)
    torch.testing.assert_close(whole.tokens(images), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(whole.tokens(images), network.tokens(images), atol=1e-2)
    # Of a single tile both are the same.
    tile = images[:, :, :256]
    torch.testing.assert_close(whole.embed(tile), network.embed(tile), atol=1e-5, rtol=1e-5)
    assert OpenPhenomEncoder(whole, ["DNA", "ER"]).preprocessing.endswith("per image and channel")


def test_tokens_of_channels_may_be_concatenated_for_alignment(network):
    images = draw(1, 2, 256, 256)
    plain = OpenPhenomEncoder(network, ["DNA", "ER"])
    wide = OpenPhenomEncoder(network, ["DNA", "ER"], concatenate=True)
    assert (plain.token_width, wide.token_width) == (384, 768)
    tokens = wide.tokens(images)
    assert tokens.shape == (1, 256, 768)
    halves = tokens.reshape(1, 256, 2, 384).mean(2)
    torch.testing.assert_close(halves, plain.tokens(images))
    torch.testing.assert_close(wide.embed(images, "all"), plain.embed(images, "all"))


def test_images_that_do_not_fit_are_errors(network):
    encoder = OpenPhenomEncoder(network, ["DNA", "ER"])
    with pytest.raises(ConfigError, match="actin"):
        encoder.embed(draw(1, 2, 256, 256), "actin")
    with pytest.raises(DataError, match="8-bit"):
        encoder.embed(draw(1, 3, 256, 256), "DNA")
    with pytest.raises(DataError, match="multiple"):
        network.embed(draw(1, 2, 250, 256))
    with pytest.raises(DataError, match="8-bit"):
        network.embed(draw(1, 2, 256, 256).float())
    with pytest.raises(DataError, match="11 channels"):
        network.embed(draw(1, 12, 256, 256))
