"""Train a ResNet-18 feature encoder to classify conditions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from morphpipe.core.devices import computes_bfloat16
from morphpipe.core.errors import ConfigError, DataError, TrainingError
from morphpipe.encoders.resnet18 import ResNet18
from morphpipe.imaging import dihedral as transforms

# On CPUs with matrix units, torch 2.13's bfloat16 convolutions of single-pixel maps occasionally
# give NaN (7 of 25 trainings on 16x16 images with two threads, none on 32x32 or in float32).
_SMALLEST_IN_BFLOAT16 = 32


@dataclass(frozen=True)
class Epoch:
    """Result of one pass over the training images.

    Attributes
    ----------
    number
        From 1.
    loss
        Mean cross-entropy, under augmentation.
    accuracy
        Accuracy on augmented training images.
    """

    number: int
    loss: float
    accuracy: float


class TrainedResNet18(NamedTuple):
    """A trained network, in evaluation mode, and the history of its training."""

    network: ResNet18
    history: list[Epoch]


def channel_statistics(
    images: NDArray[np.uint8], channels: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of each channel, with pixels scaled to [0, 1].

    Parameters
    ----------
    images
        uint8 [N, C, H, W].
    channels
        Names of the C channels.

    Raises
    ------
    DataError
        If a channel has the same value everywhere.
    """
    values = np.arange(256) / 255
    means, deviations = [], []
    for index, name in enumerate(channels):
        counts = np.zeros(256, np.int64)
        for image in images:
            counts += np.bincount(image[index].ravel(), minlength=256)
        mean = float(np.average(values, weights=counts))
        deviation = float(np.average((values - mean) ** 2, weights=counts)) ** 0.5
        if np.count_nonzero(counts) < 2:
            raise DataError(
                f'The channel "{name}" has the same value everywhere in the images for the '
                "ResNet-18: exclude the channel, or fix the images."
            )
        means.append(mean)
        deviations.append(deviation)
    return means, deviations


def train_resnet18(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    channels: Sequence[str],
    classes: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    channel_dropout: float = 0.3,
    dihedral: bool = True,
    device: torch.device | str = "cpu",
    progress: Callable[[Epoch], None] | None = None,
) -> TrainedResNet18:
    """Train a ResNet-18 to classify images, from scratch.

    AdamW with a one-cycle learning rate, in bfloat16 if the device supports it. The result is
    deterministic on the same hardware with the same number of threads.

    Parameters
    ----------
    images
        uint8 [N, C, H, W].
    labels
        Integers [N] from 0 to classes - 1: the cell type and perturbation together.
    channels
        Names of the C channels.
    classes
        Number of labels, at least 2.
    epochs
        Passes over the images.
    batch_size
        Maximum images per step; a pass is split into steps of nearly equal size.
    learning_rate
        Maximum of the cycle.
    seed
        Seed of initial weights, order and augmentation.
    channel_dropout
        Fraction of images with a single visible channel, so that single-channel views are in
        distribution.
    dihedral
        Rotate and flip images at random.
    device
        Device for training.
    progress
        Called after every epoch.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If images and labels do not fit, or a channel is constant.
    TrainingError
        If the loss is no longer finite.
    """
    _check(images, labels, channels, classes)
    if epochs < 1 or batch_size < 2 or not 0 <= channel_dropout <= 1 or learning_rate <= 0:
        raise ConfigError(
            "Training a ResNet-18 needs at least 1 epoch, batches of at least 2, a positive "
            "learning rate and a channel dropout between 0 and 1."
        )
    device = torch.device(device)
    mean, deviation = channel_statistics(images, channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResNet18(channels, classes, mean=mean, deviation=deviation)
    network.to(device).train()
    random = np.random.default_rng(seed)
    steps = max(1, round(len(images) / batch_size))
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps * epochs
    )
    history = []
    half = computes_bfloat16(device) and min(images.shape[2:]) >= _SMALLEST_IN_BFLOAT16
    with _deterministic():
        for number in range(1, epochs + 1):
            loss_sum = torch.zeros((), device=device)
            right = torch.zeros((), device=device)
            for rows in np.array_split(random.permutation(len(images)), steps):
                batch = _augmented(images, rows, random, dihedral)
                target = torch.from_numpy(labels[rows].astype(np.int64)).to(device)
                keep = _kept_channels(len(rows), len(channels), channel_dropout, random)
                with torch.autocast(device.type, torch.bfloat16, enabled=half):
                    logits = network(batch, keep)
                loss = F.cross_entropy(logits.float(), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                loss_sum += loss.detach() * len(rows)
                right += (logits.argmax(1) == target).sum()
            epoch = Epoch(number, loss_sum.item() / len(images), right.item() / len(images))
            if not np.isfinite(epoch.loss):
                raise TrainingError(
                    f"The loss of the ResNet-18 is no longer finite in epoch {number}: lower its "
                    f"learning rate (now {learning_rate:g})."
                )
            history.append(epoch)
            if progress is not None:
                progress(epoch)
    return TrainedResNet18(network.eval().requires_grad_(False), history)


def _check(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    channels: Sequence[str],
    classes: int,
) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != len(channels):
        raise DataError(
            f"The ResNet-18 needs 8-bit images of shape [N, {len(channels)}, H, W], but got "
            f"{images.dtype} of shape {list(images.shape)}."
        )
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{len(images)} images need as many integer labels.")
    present = np.unique(labels)
    if len(present) < 2 or present[0] < 0 or present[-1] >= classes:
        raise DataError(
            f"The labels of the ResNet-18's training images must be two or more of 0 to "
            f"{classes - 1}, but are {present[:5].tolist()}{' …' if len(present) > 5 else ''}: "
            "check which fields it is trained on."
        )


def _augmented(
    images: NDArray[np.uint8], rows: NDArray[np.int64], random: np.random.Generator, turn: bool
) -> torch.Tensor:
    """Select images, rotated and flipped at random; odd quarter turns only for squares."""
    batch = images[rows]
    if turn:
        square = images.shape[2] == images.shape[3]
        drawn = random.integers(8, size=len(rows))
        drawn = drawn if square else drawn // 2 * 2
        batch = np.stack(
            [transforms.apply(image, int(t)) for image, t in zip(batch, drawn, strict=True)]
        )
    return torch.from_numpy(np.ascontiguousarray(batch))


def _kept_channels(
    number: int, channels: int, dropout: float, random: np.random.Generator
) -> torch.Tensor:
    """Draw the visible channels of each image: bool [number, channels]."""
    alone = random.random(number) < dropout
    single = np.arange(channels) == random.integers(channels, size=number)[:, None]
    return torch.from_numpy(single | ~alone[:, None])


@contextmanager
def _deterministic() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield
