"""Check that weights are finite."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from morphpipe.core.errors import WeightsError


def check_finite(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Check that all weights are finite.

    Parameters
    ----------
    tensors
        Tensors by name; integers are skipped.
    path
        Their file, for the message.

    Raises
    ------
    WeightsError
        With the first tensor that is not finite.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        # 8-bit types have no such test.
        wrong = ~(tensor.float() if tensor.element_size() == 1 else tensor).isfinite()
        if wrong.any():
            raise WeightsError(
                f"{path}: {int(wrong.sum())} of the {tensor.numel()} numbers of {name} are "
                "infinite or not a number (NaN): the file is damaged, or from a failed training. "
                "Download or create it again."
            )
