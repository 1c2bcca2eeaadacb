"""Weights that are numbers."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from morphpipe.core.errors import WeightsError


def check_finite(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Stop at weights that are infinite or no number: all that is computed with them would be.

    Parameters
    ----------
    tensors
        By name; whole numbers are passed over.
    path
        Where they come from, for the message.

    Raises
    ------
    WeightsError
        Naming the first such tensor.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        # Types of 8 bits have no such test of their own.
        wrong = ~(tensor.float() if tensor.element_size() == 1 else tensor).isfinite()
        if wrong.any():
            raise WeightsError(
                f"{path}: {int(wrong.sum())} of the {tensor.numel()} numbers of {name} are "
                "infinite or not a number (NaN): the file is damaged, or comes from a training "
                "that failed. Fetch or make it again."
            )
