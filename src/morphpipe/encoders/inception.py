"""Inception v3 with the weights of the Fréchet inception distance, through torch-fidelity.

Heusel et al. 2017 (arXiv:1706.08500). Images are resized to 299x299 as in TensorFlow 1; features
are those of the last pooling layer (2,048).
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from morphpipe.core.errors import WeightsError
from morphpipe.core.state_dict import read_state_dict
from morphpipe.encoders.base import RGB, Encoder, check_images


class InceptionEncoder(Encoder):
    """Inception v3 in the registry of encoders; a channel is stacked three times.

    Parameters
    ----------
    weights_path
        torch-fidelity's weights (weights-inception-2015-12-05-6726825d.pth). Nothing is downloaded.
    channels
        Names of the images' channels in order, for the views of single channels.
    device
        Device of the network.

    Raises
    ------
    WeightsError
        If the file is missing or does not contain these weights.
    """

    name = "Inception v3"
    width = 2048
    preprocessing = "resized to 299x299 (bilinear, as TensorFlow 1), (x - 128) / 128"

    def __init__(
        self,
        weights_path: str | Path,
        channels: Sequence[str] = (),
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        state = read_state_dict(weights_path)
        try:
            # torch-fidelity unpickles without restrictions, so it gets a file that we wrote.
            # Checking the original would not suffice, since one file can have two formats.
            with tempfile.TemporaryDirectory() as folder:
                harmless = Path(folder) / "weights.pth"
                torch.save(state, harmless)
                network = FeatureExtractorInceptionV3(
                    "inception-v3-compat",
                    [str(self.width)],
                    feature_extractor_weights_path=str(harmless),
                )
        except RuntimeError as error:
            raise WeightsError(
                f"{weights_path} does not contain torch-fidelity's Inception v3 "
                f"({str(error).splitlines()[0]}): use weights-inception-2015-12-05-6726825d.pth of "
                "its release v0.2.0."
            ) from error
        # Same numbers, 1.26 times as fast on a CPU.
        self.network = network.to(device, memory_format=torch.channels_last)
        self.device = torch.device(device)
        self.channels = tuple(channels)
        self.views = (RGB, *self.channels)

    @torch.no_grad()
    def embed(self, images: Tensor, view: str) -> Tensor:
        """See `Encoder.embed`."""
        self.check_view(view)
        if view == RGB:
            check_images(images, 3, self.name)
        else:
            check_images(images, len(self.channels), self.name)
            index = self.channels.index(view)
            images = images[:, index : index + 1].expand(-1, 3, -1, -1)
        (features,) = self.network(images.to(self.device))
        return features
