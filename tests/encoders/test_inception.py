import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from morphpipe.core.errors import ConfigError, DataError, WeightsError
from morphpipe.encoders.inception import InceptionEncoder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Kaiming-initialised weights: torch's default ones make all features alike."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    patch = pytest.MonkeyPatch()
    patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    torch.save({}, path)
    network = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=path)
    patch.undo()
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def encoder(weights):
    return InceptionEncoder(weights, ["DNA", "ER"])


def draw(channels):
    return torch.randint(
        256, (2, channels, 40, 50), generator=torch.Generator().manual_seed(0)
    ).byte()


def test_features_are_torch_fidelitys(weights, encoder):
    plain = FeatureExtractorInceptionV3(
        "any", ["2048"], feature_extractor_weights_path=str(weights)
    )
    images = draw(3)
    features = encoder.embed(images, "rgb")
    assert features.shape == (2, 2048)
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features, plain(images)[0], rtol=1e-4, atol=1e-5)
    assert features.std() > 0.01


def test_a_channel_is_stacked_three_times(encoder):
    images = draw(2)
    expected = encoder.embed(images[:, [1, 1, 1]], "rgb")
    assert torch.equal(encoder.embed(images, "ER"), expected)


def test_views_and_images_that_do_not_fit_are_errors(encoder):
    with pytest.raises(ConfigError, match="all"):
        encoder.embed(draw(2), "all")
    with pytest.raises(DataError, match="8-bit"):
        encoder.embed(draw(2), "rgb")


def test_weights_have_to_be_there_and_right(tmp_path):
    with pytest.raises(WeightsError, match=r"weights file .* does not exist"):
        InceptionEncoder(tmp_path / "absent.pth")
    torch.save({"fc.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="Inception"):
        InceptionEncoder(tmp_path / "other.pth")
