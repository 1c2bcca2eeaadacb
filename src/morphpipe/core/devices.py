"""Selection of the compute device and precision."""

import torch


def best_device() -> torch.device:
    """The first GPU, or else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device supports bfloat16 natively.

    A CPU that emulates it is a hundred times slower than in float32 (measured with AVX2: 0.52 s
    against 5 ms for a product of 1152x256 and 256x1024).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether a configured precision (`auto`, `bf16` or `fp32`) means bfloat16 on a device."""
    return precision == "bf16" or (precision == "auto" and computes_bfloat16(device))
