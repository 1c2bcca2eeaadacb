"""Time and memory of a training step, of one architecture on fields of 512x512.

    python benchmarks/training_step.py SD-v1-4 [--tokens 1 77] [--batch 1] [--precision bf16]
    python benchmarks/training_step.py SiT-XL/2 [--batch 1] [--precision bf16] [--checkpointing]

A step is what training does: loss, gradients, their clipping, AdamW and the averaged weights. Each
measurement has a process of its own, so that the peak of its memory is its own; the numbers of
tokens are alternated and the medians compared, so that a busy machine harms both.
"""

import argparse
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import torch
from torch import nn

from morphpipe.config.sit_presets import PRESETS
from morphpipe.config.unet_presets import UNET_PRESETS
from morphpipe.core.devices import best_device
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.flow import FlowGenerator
from morphpipe.generators.sit import SiT
from morphpipe.generators.unet import UNetGenerator
from morphpipe.training.ema import ExponentialMovingAverage

PERTURBATIONS, CELL_TYPES, EMBEDDING = 1139, 4, 512  # RxRx1's classes, scGPT's width


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    architecture: str
    size: int  # of the latents
    batch: int
    steps: int
    bf16: bool
    checkpointing: bool
    tokens: int = 1

    @property
    def latent_channels(self) -> int:
        """Of one RGB image, or of six channels one by one."""
        return 4 if self.architecture in UNET_PRESETS else 24


@dataclass(frozen=True)
class Measurement:
    """Seconds of each step, bytes at the peak, and bytes of all that lives between two steps."""

    seconds: list[float]
    peak: int
    state: int


def build(setting: Setting) -> nn.Module:
    shape = {
        "latent_channels": setting.latent_channels,
        "latent_size": (setting.size, setting.size),
        "perturbations": PERTURBATIONS,
        "cell_types": CELL_TYPES,
        "gradient_checkpointing": setting.checkpointing,
    }
    if setting.architecture in UNET_PRESETS:
        return UNetGenerator.from_preset(
            setting.architecture, **shape, condition_width=EMBEDDING, tokens=setting.tokens
        )
    return FlowGenerator(SiT.from_preset(setting.architecture, **shape))


def random_batch(setting: Setting) -> TrainingBatch:
    n, shape = setting.batch, (setting.latent_channels, setting.size, setting.size)
    embedding = torch.randn(n, EMBEDDING) if setting.architecture in UNET_PRESETS else None
    labels = torch.zeros(n, dtype=torch.long)
    return TrainingBatch(
        torch.randn(n, *shape),
        torch.randn(n, *shape),
        torch.rand(n),
        Condition(labels, labels, embedding),
        torch.zeros(n, 2, dtype=torch.bool),
    )


def measure(setting: Setting) -> Measurement:
    device = best_device()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with device:
        generator = build(setting)
    optimizer = torch.optim.AdamW(generator.parameters(), lr=1e-5, fused=True)
    average = ExponentialMovingAverage(generator, 0.9999)
    seconds = []
    for step in range(setting.steps + 1):
        batch = random_batch(setting).to(device)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=setting.bf16):
            loss = generator(batch).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        optimizer.step()
        average.update(generator, step)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    # Weights, gradients, two moments and the average, in float32 each.
    state = 5 * 4 * sum(weight.numel() for weight in generator.parameters())
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return Measurement(seconds[1:], peak, state)  # without the first, which allocates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architecture", choices=[*PRESETS, *UNET_PRESETS])
    parser.add_argument("--size", type=int, default=512, help="of the images, pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of one process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 77], help="U-Nets only")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    arguments = parser.parse_args()
    tokens = arguments.tokens if arguments.architecture in UNET_PRESETS else [1]
    setting = Setting(
        arguments.architecture,
        arguments.size // 8,
        arguments.batch,
        arguments.steps,
        arguments.precision == "bf16",
        arguments.checkpointing,
    )
    found: dict[int, list[Measurement]] = {number: [] for number in tokens}
    for _ in range(arguments.rounds):
        for number in tokens:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                found[number].append(
                    process.submit(measure, replace(setting, tokens=number)).result()
                )
    print(
        f"{arguments.architecture} on {setting.latent_channels}x{setting.size}x{setting.size} "
        f"latents, batch {arguments.batch}, {arguments.precision}"
        f"{', checkpointing' if arguments.checkpointing else ''}, {best_device().type}"
    )
    for number, measurements in found.items():
        seconds = statistics.median(s for found in measurements for s in found.seconds)
        peak = statistics.median(found.peak for found in measurements)
        print(
            f"{number:3d} tokens  {seconds:8.3f} s a step  {seconds / arguments.batch:8.3f} s an "
            f"image  {peak / 1e9:6.2f} GB at the peak, {measurements[0].state / 1e9:.2f} GB of "
            "them weights, gradients, moments and average"
        )


if __name__ == "__main__":
    main()
