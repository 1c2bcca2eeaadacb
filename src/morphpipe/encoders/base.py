"""What every encoder takes and answers.

A *view* is what of the images an encoder sees: "all" channels, one channel by its name, or "rgb",
a rendering in colour. For "all" and for a channel the images hold all channels, in the order of
the channel manifest; for "rgb" they hold red, green and blue.
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
        Name of the network, as the report calls it.
    width
        Number of features d of an image, whatever the view.
    views
        The views it can serve.
    preprocessing
        What happens to the pixels before the network, in words.
    """

    name: str
    width: int
    views: tuple[str, ...]
    preprocessing: str

    @abstractmethod
    def embed(self, images: Tensor, view: str) -> Tensor:
        """Features of images.

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
            If the encoder does not serve the view.
        DataError
            If the images are not of the type or shape that the view needs.
        """

    def embed_views(self, images: Tensor, views: Sequence[str]) -> dict[str, Tensor]:
        """Features of several views of the same images, in as few passes as the encoder can."""
        return {view: self.embed(images, view) for view in views}

    def check_view(self, view: str) -> None:
        """Raise ConfigError unless the encoder serves the view."""
        if view not in self.views:
            raise ConfigError(
                f'{self.name} does not serve the view "{view}": choose one of '
                f"{', '.join(self.views)}."
            )


class TokenEncoder(Encoder):
    """An encoder whose features have places, so that a generator can be aligned with it.

    Attributes
    ----------
    token_width
        Width of a token.
    """

    token_width: int

    @abstractmethod
    def tokens(self, images: Tensor) -> Tensor:
        """Tokens of images with all channels.

        Parameters
        ----------
        images
            uint8 [N, C, H, W], on any device.

        Returns
        -------
        Tensor
            float32 [N, T, token_width], the T tokens row by row of `token_grid`.
        """

    @abstractmethod
    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for images of a height and width in pixels."""


def check_images(images: Tensor, channels: int, name: str) -> None:
    """Raise DataError unless the images are uint8 [N, channels, H, W] with N of 1 or more."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != channels:
        raise DataError(
            f"{name} needs 8-bit images of shape [N, {channels}, H, W], but was given "
            f"{images.dtype} of shape {list(images.shape)}: check the view and the channels."
        )
    if not len(images):
        raise DataError(f"{name} was given no images.")
