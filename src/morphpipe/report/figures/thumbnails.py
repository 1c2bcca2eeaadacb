"""Pictures for the pages: small JPEG files beside them, or in the page itself."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A tile is shown about 115 pixels wide on a common screen; twice that looks sharp on fine ones.
LONGEST_SIDE = 192
# Below 80 the grain of a dim channel turns into blocks of eight pixels.
_QUALITY = 82


def shrunk(pixels: NDArray[np.uint8], longest: int = LONGEST_SIDE) -> NDArray[np.uint8]:
    """The picture with no side longer than that: uint8 [H, W] or [H, W, 3]."""
    if max(pixels.shape[:2]) <= longest:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def jpeg(pixels: NDArray[np.uint8], quality: int = _QUALITY) -> bytes:
    """A picture as JPEG, with colours as sharp as brightness: two stains differ in colour alone.

    Parameters
    ----------
    pixels
        uint8 [H, W] or [H, W, 3].
    quality
        Of the JPEG, 0 to 95.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()


class Pictures(Protocol):
    """Where a page finds its pictures."""

    def __call__(self, picture: NDArray[np.uint8] | bytes) -> str:
        """The address of a picture: pixels, or a JPEG file's content."""


def embedded(picture: NDArray[np.uint8] | bytes) -> str:
    """A picture in the page itself, as a data address."""
    content = picture if isinstance(picture, bytes) else jpeg(picture)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


class PictureFolder:
    """Pictures as files of a folder beside the pages, each content once.

    Parameters
    ----------
    site
        Folder of the pages.
    name
        Of the folder in it.
    """

    def __init__(self, site: Path, name: str = "images") -> None:
        self._folder, self._name = site / name, name
        self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, picture: NDArray[np.uint8] | bytes) -> str:
        """The address of a picture, relative to the pages; it is written on its first use."""
        content = picture if isinstance(picture, bytes) else jpeg(picture)
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
        place = self._folder / name
        if not place.exists():
            place.write_bytes(content)
        return f"{self._name}/{name}"
