"""Reading files of pretrained weights that others have made."""

import pickle
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from morphpipe.core.checksums import check_recorded
from morphpipe.core.errors import WeightsError
from morphpipe.core.finite import check_finite


def _is_safetensors(path: Path) -> bool:
    """Whether a file starts as the safetensors format does: a length and a JSON object."""
    with path.open("rb") as stream:
        start = stream.read(9)
    if len(start) < 9:
        return False
    (length,) = struct.unpack("<Q", start[:8])
    return start[8:] == b"{" and 8 + length <= path.stat().st_size


def _reason(error: Exception) -> str:
    """First line of an error, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file or from a pickle, whatever its name says.

    A pickle is read with torch's restricted reader (`weights_only=True`), which runs no code. A
    checkpoint that holds the state dict under the key "state_dict" is unwrapped.

    Raises
    ------
    WeightsError
        If there is no such file, it is of neither format, holds more than tensors, or holds
        numbers that are not finite.
    DataError
        If it is another file than the record of its download says.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"There is no weights file {path}: put it there by hand, or let the workflow "
            "download it."
        )
    check_recorded(path)
    content: Any
    try:
        if _is_safetensors(path):
            content = load_file(path)
        else:
            # A stream and not the path: torch takes any name in .safetensors for that format.
            with path.open("rb") as stream:
                content = torch.load(stream, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            f"{path} is neither a safetensors file nor a pickle of tensors alone, or is damaged "
            f"({_reason(error)}): download it again."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} does not hold a state dict, names with a tensor each.")
    check_finite(content, path)
    return dict(content)
