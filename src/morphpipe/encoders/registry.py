"""Registry of encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from morphpipe.core.errors import ConfigError
from morphpipe.encoders.base import Encoder

KINDS = ("openphenom", "resnet18", "inception")


def build_encoder(
    kind: str,
    weights_path: str | Path,
    *,
    channels: Sequence[str],
    device: torch.device | str = "cpu",
    norm: Literal["tile", "image"] = "tile",
    joined: Literal["average", "concatenate"] = "average",
) -> Encoder:
    """Build an encoder with its weights.

    Parameters
    ----------
    kind
        "openphenom", "resnet18" or "inception".
    weights_path
        A local file; nothing is downloaded.
    channels
        Names of the images' channels in the order of the channel manifest.
    device
        Device of the encoder.
    norm, joined
        For OpenPhenom: scope of the normalisation, and how channel tokens are joined for alignment.

    Raises
    ------
    ConfigError
        If the kind is unknown, or a ResNet-18 was trained on other channels or another order.
    WeightsError
        If the weights are missing or not the expected ones.
    """
    # Libraries are imported lazily, by kind.
    if kind == "openphenom":
        from morphpipe.encoders.openphenom import OpenPhenom, OpenPhenomEncoder

        network = OpenPhenom.from_file(weights_path, norm=norm).to(device)
        return OpenPhenomEncoder(network, channels, concatenate=joined == "concatenate")
    if kind == "resnet18":
        from morphpipe.encoders.resnet18 import RGB_PLANES, ResNet18, ResNet18Encoder

        trained = ResNet18.load(weights_path)
        if trained.channels not in (RGB_PLANES, tuple(channels)):
            raise ConfigError(
                f"The ResNet-18 at {weights_path} was trained on the channels "
                f"{', '.join(trained.channels)} in this order, the images have "
                f"{', '.join(channels)}: train one on these images."
            )
        return ResNet18Encoder(trained.to(device))
    if kind == "inception":
        from morphpipe.encoders.inception import InceptionEncoder

        return InceptionEncoder(weights_path, channels, device=device)
    raise ConfigError(f'Unknown encoder "{kind}"; choose from {", ".join(KINDS)}.')
