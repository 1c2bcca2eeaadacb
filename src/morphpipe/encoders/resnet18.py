"""ResNet-18 on all channels of a field of view, trained by the workflow.

He et al. 2016 (arXiv:1512.03385), with a first convolution for any number of channels. Unlike
Inception it needs no external weights; a Fréchet distance on its features is not called FID.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from morphpipe.core.checksums import check_recorded
from morphpipe.core.errors import ConfigError, WeightsError
from morphpipe.core.finite import check_finite
from morphpipe.core.json_files import parse_json
from morphpipe.core.storage import atomic_path
from morphpipe.encoders.base import ALL, RGB, TokenEncoder, check_images
from morphpipe.encoders.residual_network import ResidualNetwork

WIDTH = 512
TOKEN_WIDTH = 256  # the third of the four stages
TOKEN_STRIDE = 16  # pixels
# Channels of a network for RGB renderings of any images.
RGB_PLANES = ("red", "green", "blue")

_FORMAT = "morphpipe.encoders.resnet18"


class ResNet18(nn.Module):
    """A classifier of conditions; its last hidden layer provides the features.

    Parameters
    ----------
    channels
        Names of the channels in order.
    classes
        Number of conditions.
    mean, deviation
        Mean and standard deviation of each channel over the training images, with pixel values
        scaled to [0, 1].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        channels: Sequence[str],
        classes: int,
        *,
        mean: Sequence[float],
        deviation: Sequence[float],
    ) -> None:
        super().__init__()
        if not len(channels) == len(mean) == len(deviation) or min(deviation) <= 0:
            raise ConfigError(
                "ResNet-18 needs a mean and a positive standard deviation for each of its channels."
            )
        self.channels = tuple(channels)
        self.classes = classes
        self.network = ResidualNetwork(classes)
        self.network.conv1 = nn.Conv2d(len(channels), 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Compute logits [N, classes] of images uint8 [N, C, H, W].

        `keep`, bool [N, C] or [C], selects the visible channels; others are set to their mean.
        """
        return self.network.fc(self.features(images, keep))

    def features(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Features [N, 512] before the classifier; see `forward`."""
        return self.network.avgpool(self.network.layer4(self.feature_map(images, keep))).flatten(1)

    def feature_map(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Feature map [N, 256, H / 16, W / 16] of the third stage; see `forward`."""
        check_images(images, len(self.channels), "ResNet-18")
        x = images.to(self.mean.device).float() / 255
        x = (x - self.mean[:, None, None]) / self.deviation[:, None, None]
        if keep is not None:
            x = x * keep.to(x)[..., None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        net = self.network
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer3(net.layer2(net.layer1(x)))

    def save(self, path: str | Path) -> None:
        """Write weights and metadata to one safetensors file, atomically."""
        description = {"format": _FORMAT, "channels": self.channels, "classes": self.classes}
        state = {name: tensor.cpu().contiguous() for name, tensor in self.state_dict().items()}
        with atomic_path(path) as temporary:
            save_file(state, temporary, metadata={"description": json.dumps(description)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a network written by `save`, in evaluation mode.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, not written by `save`, or not finite.
        DataError
            If it differs from its record.
        """
        check_recorded(path)
        try:
            with safe_open(path, framework="pt") as file:
                description = parse_json((file.metadata() or {}).get("description", "{}"))
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise WeightsError(
                f"The ResNet-18 at {path} cannot be read ({error}): delete it and rerun the "
                "workflow to train it again."
            ) from error
        if description.get("format") != _FORMAT:
            raise WeightsError(
                f"{path} is not a ResNet-18 of morphpipe: use a file trained by the workflow."
            )
        check_finite(state, path)
        model = cls(
            description["channels"],
            description["classes"],
            mean=state["mean"].tolist(),
            deviation=state["deviation"].tolist(),
        )
        model.load_state_dict(state)
        return model.eval().requires_grad_(False)


class ResNet18Encoder(TokenEncoder):
    """A trained ResNet-18 in the registry of encoders.

    The view of one channel sets all others to their mean, as for some images in training. A network
    trained on RGB renderings has no other view.

    Parameters
    ----------
    network
        The network, in evaluation mode.
    """

    name = "ResNet-18"
    width = WIDTH
    token_width = TOKEN_WIDTH
    preprocessing = (
        "divided by 255, standardised by the training images' mean and deviation per channel"
    )

    def __init__(self, network: ResNet18) -> None:
        self.network = network.eval()
        self.views = (RGB,) if network.channels == RGB_PLANES else (ALL, *network.channels)

    @torch.no_grad()
    def embed(self, images: Tensor, view: str) -> Tensor:
        """See `Encoder.embed`."""
        self.check_view(view)
        keep = None
        if view not in (ALL, RGB):
            keep = torch.tensor([name == view for name in self.network.channels])
        return self.network.features(images, keep).float()

    @torch.no_grad()
    def tokens(self, images: Tensor) -> Tensor:
        """See `TokenEncoder.tokens`; the feature map of the third stage."""
        return self.network.feature_map(images).flatten(2).transpose(1, 2).float()

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """See `TokenEncoder.token_grid`."""
        return -(-height // TOKEN_STRIDE), -(-width // TOKEN_STRIDE)
