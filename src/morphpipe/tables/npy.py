"""NumPy's `.npy` files of single cells: all channels of an image in one array."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphpipe.core.errors import DataError

MAGIC = b"\x93NUMPY"


def decode_array(data: bytes, place: str, size: tuple[int, int], channels: int) -> NDArray[Any]:
    """Pixels of an image whose channels are its last axis.

    Parameters
    ----------
    data
        Content of an `.npy` file.
    place
        What the image is, for messages.
    size, channels
        Height and width, and number of channels, that it has to have.

    Returns
    -------
    numpy.ndarray
        uint8 or uint16 [H, W, C].

    Raises
    ------
    DataError
        When the file is damaged, cut short, or of another type or shape.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"version {version[0]}.{version[1]}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, EOFError) as error:
        raise DataError(f"{place} cannot be decoded ({error}): the file is damaged.") from None
    expected = (*size, channels)
    if shape != expected or fortran or dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{place} is {dtype} {list(shape)}, but the field table says {list(expected)}, 8 or 16 "
            "bit: make the field table again."
        )
    pixels = data[stream.tell() :]
    if len(pixels) != dtype.itemsize * int(np.prod(shape)):
        raise DataError(f"{place} has {len(pixels)} bytes of pixels: the file is damaged.")
    image: NDArray[Any] = np.frombuffer(pixels, dtype).reshape(shape)
    return image
