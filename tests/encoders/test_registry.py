import pytest
import torch
from safetensors.torch import save_file

from morphpipe.config.networks import OpenPhenomEncoder as OpenPhenomSettings
from morphpipe.core.checksums import record_files
from morphpipe.core.errors import ConfigError, WeightsError
from morphpipe.encoders.configured import load_encoder
from morphpipe.encoders.openphenom import OpenPhenom
from morphpipe.encoders.registry import build_encoder
from morphpipe.encoders.resnet18 import ResNet18


def test_kinds_are_built_from_their_files(tmp_path):
    save_file(OpenPhenom().state_dict(), tmp_path / "openphenom")
    encoder = build_encoder("openphenom", tmp_path / "openphenom", channels=["DNA", "ER"])
    assert (encoder.name, encoder.width, encoder.token_width) == ("OpenPhenom", 384, 384)
    settings = OpenPhenomSettings(
        kind="openphenom", weights="w", norm="image", channels="concatenate"
    ).model_dump()
    record_files(tmp_path, ["openphenom"])
    encoder = load_encoder("mine", settings, tmp_path / "weights.json", ["DNA", "ER"])
    assert (encoder.token_width, encoder.network.norm) == (768, "image")
    network = ResNet18(["DNA", "ER"], 2, mean=[0, 0], deviation=[1, 1])
    network.save(tmp_path / "resnet18")
    encoder = build_encoder("resnet18", tmp_path / "resnet18", channels=["DNA", "ER"])
    assert (encoder.name, encoder.width, encoder.token_width) == ("ResNet-18", 512, 256)
    assert encoder.views == ("all", "DNA", "ER")
    images = torch.randint(256, (1, 2, 32, 32)).byte()
    both = encoder.embed_views(images, ["ER", "all"])
    assert torch.equal(both["ER"], encoder.embed(images, "ER"))
    assert torch.equal(both["all"], encoder.embed(images, "all"))


def test_channels_in_another_order_stop(tmp_path):
    ResNet18(["DNA", "ER"], 2, mean=[0, 0], deviation=[1, 1]).save(tmp_path / "resnet18")
    with pytest.raises(ConfigError, match="ER, DNA"):
        build_encoder("resnet18", tmp_path / "resnet18", channels=["ER", "DNA"])


def test_unknown_kinds_and_missing_files_stop(tmp_path):
    with pytest.raises(ConfigError, match="openphenom, resnet18, inception"):
        build_encoder("dino", tmp_path / "any", channels=["DNA"])
    for kind in ("openphenom", "resnet18", "inception"):
        with pytest.raises(WeightsError):
            build_encoder(kind, tmp_path / "absent", channels=["DNA"])


def test_resnet18_of_rgb_renderings_takes_images_of_any_channels(tmp_path):
    ResNet18(["red", "green", "blue"], 2, mean=[0, 0, 0], deviation=[1, 1, 1]).save(tmp_path / "w")
    for channels in (["DNA", "ER", "actin"], ["red", "green", "blue"]):
        encoder = build_encoder("resnet18", tmp_path / "w", channels=channels)
        assert encoder.views == ("rgb",)
        images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        assert encoder.embed(images, "rgb").shape == (2, 512)
