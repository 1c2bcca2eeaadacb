import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from morphpipe.core.errors import ConfigError, DataError, WeightsError
from morphpipe.encoders.resnet18 import ResNet18, ResNet18Encoder

CHANNELS = ["DNA", "ER", "actin"]
MEAN, DEVIATION = [0.2, 0.3, 0.4], [0.1, 0.2, 0.3]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = ResNet18(CHANNELS, 4, mean=MEAN, deviation=DEVIATION)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


def draw(n=2, channels=3, height=96, width=80):
    return torch.randint(256, (n, channels, height, width)).byte()


def standardised(images):
    columns = [(images[:, c].float() / 255 - MEAN[c]) / DEVIATION[c] for c in range(len(CHANNELS))]
    return torch.stack(columns, 1)


@torch.no_grad()
def test_features_are_those_of_torchvisions_network(network):
    plain = resnet18(num_classes=4).eval()
    state = {
        name.removeprefix("network."): tensor
        for name, tensor in network.state_dict().items()
        if name.startswith("network.")
    }
    plain.load_state_dict(state)  # of three channels, so that the first convolution fits
    nodes = {"flatten": "features", "layer3": "map", "fc": "logits"}
    images = draw()
    expected = create_feature_extractor(plain, nodes)(standardised(images))
    encoder = ResNet18Encoder(network)
    torch.testing.assert_close(
        encoder.embed(images, "all"), expected["features"], atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(network(images), expected["logits"], atol=1e-4, rtol=1e-4)
    tokens = encoder.tokens(images)
    rows, columns = encoder.token_grid(96, 80)
    assert tokens.shape == (2, rows * columns, 256) == (2, 30, 256)
    found = tokens.transpose(1, 2).reshape(2, 256, rows, columns)
    torch.testing.assert_close(found, expected["map"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (100, 97), (33, 47)])
def test_token_grid_is_that_of_the_tokens(network, size):
    encoder = ResNet18Encoder(network)
    rows, columns = encoder.token_grid(*size)
    assert encoder.tokens(draw(1, 3, *size)).shape[1] == rows * columns


@torch.no_grad()
def test_view_of_a_channel_ignores_the_others(network):
    encoder = ResNet18Encoder(network)
    images = draw()
    other = images.clone()
    other[:, [0, 2]] = draw()[:, [0, 2]]
    assert torch.equal(encoder.embed(images, "ER"), encoder.embed(other, "ER"))
    assert not torch.allclose(encoder.embed(images, "all"), encoder.embed(other, "all"))
    x = standardised(images)
    x[:, [0, 2]] = 0
    net = network.network
    y = net.layer2(net.layer1(net.maxpool(F.relu(net.bn1(net.conv1(x))))))
    expected = net.avgpool(net.layer4(net.layer3(y))).flatten(1)
    torch.testing.assert_close(encoder.embed(images, "ER"), expected, atol=1e-4, rtol=1e-4)


def test_saved_network_comes_back(network, tmp_path):
    network.save(tmp_path / "resnet18.safetensors")
    loaded = ResNet18.load(tmp_path / "resnet18.safetensors")
    assert loaded.channels == ("DNA", "ER", "actin")
    assert loaded.classes == 4
    assert not loaded.training
    images = draw()
    torch.testing.assert_close(loaded(images), network(images))


def test_files_that_are_no_such_network_are_errors(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        ResNet18.load(tmp_path / "absent")
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(WeightsError, match="cannot be read"):
        ResNet18.load(tmp_path / "noise")
    save_file({"mean": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(WeightsError, match="not a ResNet-18"):
        ResNet18.load(tmp_path / "other")


def test_images_and_views_that_do_not_fit_are_errors(network):
    encoder = ResNet18Encoder(network)
    with pytest.raises(ConfigError, match="mito"):
        encoder.embed(draw(), "mito")
    with pytest.raises(DataError, match="8-bit"):
        encoder.embed(draw(channels=2), "all")
    with pytest.raises(DataError, match="no images"):
        encoder.embed(draw(n=0), "all")
    with pytest.raises(ConfigError, match="deviation"):
        ResNet18(CHANNELS, 4, mean=MEAN, deviation=[0.1, 0.0, 0.1])
