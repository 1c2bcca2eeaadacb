"""What the benchmarks share: alternated timing, the machine's matrix products, and tables."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

PRODUCT_SIZE = 2048
PRODUCT_FLOP = 2 * PRODUCT_SIZE**3
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def seconds_of(way: Callable[[], object], device: torch.device) -> float:
    """How long a call takes, until the device has finished."""
    start = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(
    ways: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each way, taken in turn, so that a busy machine harms all.

    A first round, which allocates, is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            found[name].append(seconds_of(way, device))
    return {name: statistics.median(seconds[1:]) for name, seconds in found.items()}


def matrix_product(precision: str, device: torch.device) -> Callable[[], Tensor]:
    """A product of two square matrices, `PRODUCT_FLOP` operations: what the machine can do."""
    with device:
        factors = [torch.randn(PRODUCT_SIZE, PRODUCT_SIZE).to(DTYPES[precision]) for _ in range(2)]
    return lambda: factors[0] @ factors[1]


def count_flop(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of a call.

    Attention is counted in its plain form: the products are the same, and those inside the fused
    kernel of CPUs are not all known to the counter.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        call()
    return int(counter.get_total_flops())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in markdown, with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
