"""Conversion of embeddings to tokens for a Stable Diffusion U-Net."""

import numpy as np
from numpy.typing import NDArray

from morphpipe.core.errors import DataError


def centre_pad(
    embedding: NDArray[np.floating], width: int = 768, value: float = 1.0
) -> NDArray[np.float32]:
    """Pad an embedding on both sides to the width of a prompt token.

    MorphoDiff's released code pads scGPT's 512 and RDKit's 173 numbers to 768 with the value 1. For
    odd padding the extra number comes last.

    Parameters
    ----------
    embedding
        float [d].
    width
        Width of the token.
    value
        Padding value.

    Returns
    -------
    numpy.ndarray
        float32 [width].

    Raises
    ------
    DataError
        If the embedding is not a vector, is longer than `width`, or has NaN or infinity.
    """
    embedding = np.asarray(embedding)
    if embedding.ndim != 1 or len(embedding) > width:
        raise DataError(
            f"An embedding of shape {embedding.shape} cannot be padded to {width} numbers."
        )
    if not np.isfinite(embedding).all():
        raise DataError("An embedding with NaN or infinity cannot condition a generator.")
    missing = width - len(embedding)
    token = np.full(width, value, np.float32)
    token[missing // 2 : missing // 2 + len(embedding)] = embedding
    return token
