"""The interface of encoders.

A *view* is the input of an encoder: "all" channels, one channel by name, or "rgb", a rendering in
colour. For "all" and channels the images have all channels, in the order of the channel manifest;
for "rgb" they have red, green and blue.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from morphpipe.core.errors import ConfigError, DataError

RGB = "rgb"
ALL = "all"


class Encoder(ABC):
    """Images to features.

    Attributes
    ----------
    name
        Name of the network in the report.
    width
        Number of features d per image, for all views.
    views
        The supported views.
    preprocessing
        Description of the preprocessing of pixels.
    """

    name: str
    width: int
    views: tuple[str, ...]
    preprocessing: str

    @abstractmethod
    def embed(self, images: Tensor, view: str) -> Tensor:
        """Compute features of images.

        Parameters
        ----------
        images
            uint8 [N, C, H, W], on any device.
        view
            One of `views`.

        Returns
        -------
        Tensor
            float32 [N, d], on the encoder's device.

        Raises
        ------
        ConfigError
            If the encoder does not support the view.
        DataError
            If the images have the wrong type or shape for the view.
        """

    def embed_views(self, images: Tensor, views: Sequence[str]) -> dict[str, Tensor]:
        """Compute features of several views of the same images, in as few passes as possible."""
        return {view: self.embed(images, view) for view in views}

    def check_view(self, view: str) -> None:
        """Raise ConfigError unless the encoder supports the view."""
        if view not in self.views:
            raise ConfigError(
                f'{self.name} does not serve the view "{view}": choose one of '
                f"{', '.join(self.views)}."
            )


class TokenEncoder(Encoder):
    """An encoder with spatial tokens, for alignment of generators.

    Attributes
    ----------
    token_width
        Width of a token.
    """

    token_width: int

    @abstractmethod
    def tokens(self, images: Tensor) -> Tensor:
        """Compute tokens of images with all channels.

        Parameters
        ----------
        images
            uint8 [N, C, H, W], on any device.

        Returns
        -------
        Tensor
            float32 [N, T, token_width], the T tokens in row order of `token_grid`.
        """

    @abstractmethod
    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for images of a height and width in pixels."""


def check_images(images: Tensor, channels: int, name: str) -> None:
    """Raise DataError unless the images are uint8 [N, channels, H, W] with N >= 1."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != channels:
        raise DataError(
            f"{name} needs 8-bit images of shape [N, {channels}, H, W], but got {images.dtype} of "
            f"shape {list(images.shape)}: check the view and the channels."
        )
    if not len(images):
        raise DataError(f"{name} got no images.")
