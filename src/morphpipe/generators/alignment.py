"""Representation alignment of hidden tokens with a frozen encoder.

REPA (Yu et al. 2024, arXiv:2410.06940), equations 7 and 8; MorphGen aligns with OpenPhenom.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from morphpipe.core.errors import DataError


class Projector(nn.Sequential):
    """Three-layer perceptron with SiLU, from hidden tokens to the encoder's tokens.

    Parameters
    ----------
    width
        Width of the hidden tokens.
    target_width
        Width of the encoder's tokens.
    hidden_width
        Width of the hidden layers; 2048 in REPA's code.
    """

    def __init__(self, width: int, target_width: int, *, hidden_width: int = 2048) -> None:
        super().__init__(
            nn.Linear(width, hidden_width),
            nn.SiLU(),
            nn.Linear(hidden_width, hidden_width),
            nn.SiLU(),
            nn.Linear(hidden_width, target_width),
        )


def alignment_loss(projected: Tensor, targets: Tensor) -> Tensor:
    """Compute the negative cosine similarity, averaged over tokens and samples.

    Parameters
    ----------
    projected, targets
        [N, T, d], tokens at the same positions. Always computed in float32.

    Returns
    -------
    Tensor
        Scalar in [-1, 1].

    Raises
    ------
    DataError
        If the shapes differ.
    """
    if projected.shape != targets.shape:
        raise DataError(
            f"The generator's tokens have the shape {tuple(projected.shape)} and the alignment "
            f"targets {tuple(targets.shape)} (samples, tokens, width): choose an encoder, a patch "
            "size and an image size that give the same grid of tokens."
        )
    return -F.cosine_similarity(projected.float(), targets.float(), dim=-1).mean()
