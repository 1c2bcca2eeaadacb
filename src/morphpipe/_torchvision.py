"""Let torchvision be imported beside a CPU build of torch.

The package index serves CPU builds of torch for some platforms, but no CPU build of torchvision.
Beside such a torch the compiled part of torchvision does not load, and `import torchvision` fails
with "operator torchvision::nms does not exist", because its Python part describes two operators
that only the compiled part declares. timm, torch-fidelity and the models of diffusers import
torchvision and fail with it. None of them calls these operators: declaring their schemas is
enough. A build of torch for CUDA or ROCm, and a torchvision whose compiled part loads, are left
alone.
"""

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

# The schemas as torchvision declares them (torchvision/csrc/ops/nms.cpp and quantized/cpu).
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("torchvision::nms", "torchvision::qnms")


def _compiled_part_loads(package: Path) -> bool:
    """Whether torchvision's compiled part, in its `package` directory, loads into this torch."""
    import torch

    details = (
        importlib.machinery.ExtensionFileLoader,
        importlib.machinery.EXTENSION_SUFFIXES,
    )
    spec = importlib.machinery.FileFinder(str(package), details).find_spec("_C")
    if spec is None or spec.origin is None:
        return False
    try:
        torch.ops.load_library(spec.origin)
    except (ImportError, OSError):
        return False
    return True


def _declare_missing_operators(package: Path) -> None:
    """Declare the schemas that torchvision's Python part needs, if nothing else will."""
    import torch

    if torch.version.cuda or torch.version.hip or _compiled_part_loads(package):
        return
    for name in _OPERATORS:
        torch.library.define(name, _SCHEMA)


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads torchvision, after the operators that it needs have been declared."""

    def exec_module(self, module: ModuleType) -> None:
        _declare_missing_operators(Path(self.path).parent)
        super().exec_module(module)


class _Finder:
    """Finds torchvision as Python would, and has it loaded by `_Loader`.

    The work is done by the loader, since a finder is also asked by those who only want to know
    whether torchvision is installed, and importing torch for them would be slow.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Mend the import of torchvision from now on; costs nothing until it is imported.

    Safe to call more than once. Neither torch nor torchvision is imported here.
    """
    if "torchvision" in sys.modules or any(isinstance(f, _Finder) for f in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
