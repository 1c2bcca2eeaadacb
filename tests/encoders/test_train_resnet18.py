import numpy as np
import pytest
import torch

from morphpipe.core.errors import ConfigError, DataError, TrainingError
from morphpipe.encoders.resnet18 import ResNet18Encoder
from morphpipe.encoders.train_resnet18 import channel_statistics, train_resnet18

CHANNELS = ["DNA", "ER"]


def stripes(n=96, seed=0, height=32, width=32):
    """Stripes whose spacing is the class in both channels; turning them does not change it."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = np.arange(width)
    images = random.integers(0, 60, (n, 2, height, width))
    for image, label in zip(images, labels, strict=True):
        wave = 90 * (1 + np.sin(2 * np.pi * x / (4 << label) + random.uniform(0, 6)))
        image += wave.astype(int)
    return images.astype(np.uint8), labels


def train(images, labels, **options):
    options = {
        "channels": CHANNELS,
        "classes": 3,
        "epochs": 5,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "seed": 0,
        **options,
    }
    return train_resnet18(images, labels, **options)


@pytest.fixture(scope="module")
def trained():
    return train(*stripes())


def test_it_learns_what_can_be_told(trained):
    images, labels = stripes(seed=1)
    images = torch.from_numpy(images)
    assert [epoch.number for epoch in trained.history] == [1, 2, 3, 4, 5]
    assert trained.history[-1].loss < trained.history[0].loss
    assert (trained.network(images).argmax(1).numpy() == labels).mean() > 0.9
    # A single channel, the other at its mean, is nothing new to it: without channel dropout the
    # two accuracies are a third (chance) and a half.
    for keep in (torch.tensor([True, False]), torch.tensor([False, True])):
        assert (trained.network(images, keep).argmax(1).numpy() == labels).mean() > 0.7
    assert ResNet18Encoder(trained.network).embed(images[:2], "ER").shape == (2, 512)


def test_it_is_a_function_of_its_arguments():
    images, labels = stripes(24, height=16, width=16)
    epochs = []
    state = torch.random.get_rng_state()
    first = train(images, labels, epochs=2, progress=epochs.append)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(1)
    again = train(images, labels, epochs=2)
    other = train(images, labels, epochs=2, seed=1)
    assert epochs == first.history == again.history
    weights = [trained.network.network.conv1.weight for trained in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_statistics_against_numpy():
    images, _ = stripes(7, height=9, width=5)
    mean, deviation = channel_statistics(images, CHANNELS)
    scaled = images / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviation, scaled.std((0, 2, 3)), rtol=1e-12)


def test_images_that_are_not_square_are_turned_by_half_turns_only():
    images, labels = stripes(12, height=16, width=24)
    assert len(train(images, labels, epochs=1).history) == 1


def test_a_loss_that_is_not_finite_stops():
    images, labels = stripes(24, height=16, width=16)
    with pytest.raises(TrainingError, match="epoch"):
        train(images, labels, learning_rate=1e30)


def test_bad_input_stops():
    images, labels = stripes(12, height=16, width=16)
    with pytest.raises(DataError, match="8-bit"):
        train(images.astype(np.float32), labels)
    with pytest.raises(DataError, match="8-bit"):
        train(images[:, :1], labels)
    with pytest.raises(DataError, match="12 images"):
        train(images, labels[:-1])
    with pytest.raises(DataError, match="labels"):
        train(images, labels, classes=2)
    with pytest.raises(DataError, match="labels"):
        train(images, np.zeros_like(labels))
    with pytest.raises(DataError, match="ER"):
        train(images * np.array([1, 0], np.uint8)[:, None, None], labels)
    with pytest.raises(ConfigError, match="batches"):
        train(images, labels, batch_size=1)
