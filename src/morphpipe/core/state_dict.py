"""Read pretrained weights of third parties."""

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
    with path.open("rb") as stream:
        start = stream.read(9)
    if len(start) < 9:
        return False
    (length,) = struct.unpack("<Q", start[:8])
    return start[8:] == b"{" and 8 + length <= path.stat().st_size


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file or a pickle, whatever its suffix.

    Pickles are read with torch's restricted reader (`weights_only=True`), which runs no code. A
    state dict under the key "state_dict" is unwrapped.

    Raises
    ------
    WeightsError
        If the file is missing, has neither format, contains more than tensors, or is not finite.
    DataError
        If it differs from the record of its download.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"The weights file {path} does not exist: put it there by hand, or let the workflow "
            "download it."
        )
    check_recorded(path)
    content: Any
    try:
        if _is_safetensors(path):
            content = load_file(path)
        else:
            # A stream, since torch decides by the suffix .safetensors of a path.
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
        raise WeightsError(f"{path} does not contain a state dict (tensors by name).")
    check_finite(content, path)
    return dict(content)
