"""Speed of a training step of every kind of network, beside the machine's own matrix products.

    python benchmarks/training_steps.py [--networks SiT-Na/1 FlowUNet-S] [--repeats 5] [--compile]
    python benchmarks/training_steps.py --profile

A generator's step is that of `morphpipe.training.loop` on one batch in memory: loss, gradients,
their clipping, fused AdamW and the averaged weights. Autoencoder and ResNet-18 are timed inside
their own training functions, which draw and augment the images as well. Random data, random
weights; the labels are 1,139 perturbations and 4 cell types.

SiT stands beside the published step (`published_sit.py`: plain attention, AdamW and averaged
weights tensor by tensor, float32). Both must give the same loss for the same weights, to 1e-5,
before anything is measured. The optimizers and the averages are also timed alone.

Each network has a process of its own. Within it all ways and a matrix product of 2048x2048 in each
precision are taken in turn, and the medians compared, so that a busy machine harms all.
Floating-point operations are those of `torch.utils.flop_counter` (matrix products and
convolutions), the share is that of the matrix product in the same precision.

`--compile` adds the generators with compiled blocks; it costs minutes. `--profile` measures nothing
else and prints the fifteen operations that take longest.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from measuring import (
    PRODUCT_FLOP,
    alternate,
    count_flop,
    markdown_table,
    matrix_product,
    seconds_of,
)
from published_sit import PublishedStep
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from morphpipe.autoencoders.training import fit_autoencoder
from morphpipe.config.networks import TrainedAutoencoder
from morphpipe.core.devices import best_device, computes_bfloat16
from morphpipe.encoders.train_resnet18 import train_resnet18
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.flow import FlowGenerator
from morphpipe.generators.flow_unet import FlowUNet
from morphpipe.generators.sit import SiT
from morphpipe.generators.unet import UNetGenerator
from morphpipe.training.ema import ExponentialMovingAverage

PERTURBATIONS, CELL_TYPES = 1139, 4  # RxRx1's
LEARNING_RATE = 1e-4
EMULATED = "bf16: not measured, this CPU emulates it"


@dataclass(frozen=True)
class Network:
    """A generator: latents, batch (on a GPU as well, unless given), and REPA's alignment."""

    kind: str
    latents: tuple[int, int, int]
    batch: int
    gpu_batch: int | None = None
    alignment: dict[str, int] = field(default_factory=dict)


# The alignment of SiT-Na/1 is the demo's (config/demo.yaml), that of SiT-S/2 MorphGen's.
GENERATORS = {
    "SiT-Na/1": Network(
        "sit", (24, 12, 12), 8,
        alignment={"alignment_width": 256, "alignment_depth": 3, "projector_width": 256},
    ),
    "SiT-S/2": Network(
        "sit", (24, 64, 64), 2, gpu_batch=32,
        alignment={"alignment_width": 384, "alignment_depth": 8, "projector_width": 2048},
    ),
    "FlowUNet-S": Network("flow_unet", (24, 12, 12), 16),
    "SD-Ti": Network("unet", (4, 12, 12), 16),
}  # fmt: skip
NETWORKS = [*GENERATORS, "AutoencoderKL", "ResNet-18"]
KINDS = {"sit": SiT, "flow_unet": FlowUNet}

# config/autoencoder.yaml; steps are reported in twenties.
AUTOENCODER_BATCH, AUTOENCODER_CROP, AUTOENCODER_REPORTED = 24, 64, 20
RESNET_BATCH, RESNET_STEPS = 32, 4


@dataclass(frozen=True)
class Options:
    """How a network is measured."""

    repeats: int
    compile: bool
    profile: bool


@dataclass
class Found:
    """Rows of the tables that the networks fill together."""

    steps: list[list[str]] = field(default_factory=list)
    published: list[list[str]] = field(default_factory=list)
    parts: list[list[str]] = field(default_factory=list)
    compiled: list[list[str]] = field(default_factory=list)


def build(name: str) -> FlowGenerator | UNetGenerator:
    network = GENERATORS[name]
    channels, height, width = network.latents
    shape = {
        "latent_channels": channels,
        "latent_size": (height, width),
        "perturbations": PERTURBATIONS,
        "cell_types": CELL_TYPES,
    }
    torch.manual_seed(0)
    if network.kind == "unet":
        return UNetGenerator.from_preset(name, **shape, condition_width=None)
    return FlowGenerator(KINDS[network.kind].from_preset(name, **shape, **network.alignment))


def random_batch(name: str, number: int, device: torch.device) -> TrainingBatch:
    network = GENERATORS[name]
    draw = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, number, *network.latents, generator=draw)
    targets = None
    if network.alignment:
        rows, columns = build(name).network.token_grid
        shape = (number, rows * columns, network.alignment["alignment_width"])
        targets = torch.randn(shape, generator=draw)
    condition = Condition(
        torch.randint(PERTURBATIONS, (number,), generator=draw),
        torch.randint(CELL_TYPES, (number,), generator=draw),
    )
    drop = (torch.arange(number) % 8 == 1)[:, None].expand(number, 2)
    batch = TrainingBatch(
        latents, noise, torch.rand(number, generator=draw), condition, drop, targets
    )
    return batch.to(device)


class Step:
    """A training step of ours on one batch, called again and again; see `training.loop`."""

    def __init__(self, generator: nn.Module, batch: TrainingBatch, precision: str) -> None:
        self.generator = generator
        self.batch = batch
        self.half = precision == "bf16"
        self.optimizer = torch.optim.AdamW(
            generator.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
        )
        self.average = ExponentialMovingAverage(generator, 0.9999)

    def __call__(self) -> Tensor:
        """Take the step and give its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimizer.step()
        self.update_average()
        return loss.detach()

    def loss(self) -> Tensor:
        """Loss in the step's precision."""
        # What accelerate's autocast enters.
        with torch.autocast(self.batch.latents.device.type, torch.bfloat16, enabled=self.half):
            return self.generator(self.batch).total

    def update_average(self) -> None:
        """Update the averaged weights alone."""
        self.average.update(self.generator, 0)


def randomise(generator: nn.Module) -> None:
    """Draw all weights: fresh blocks are the identity, in which differences would not show."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in generator.parameters():
            drawn = 0.05 * torch.randn(weight.shape, generator=draw)
            weight.copy_(drawn.to(weight.device))


def check_equal(published: PublishedStep, ours: Step) -> None:
    """Stop unless both give the same loss for the same weights, before and after a step."""
    for tolerance in (1e-5, 1e-4):  # after a step the rounding of the gradients counts too
        theirs, own = published(), float(ours())
        if abs(theirs - own) > tolerance * abs(theirs):
            raise SystemExit(f"The published step's loss is {theirs}, but ours {own}.")


def step_row(
    name: str, what: str, number: int, precision: str, seconds: float, flop: int, product: float
) -> list[str]:
    speed, machine = flop / seconds / 1e9, PRODUCT_FLOP / product / 1e9
    return [
        name, what, str(number), precision, f"{seconds:.3f}", f"{number / seconds:.3g}",
        f"{flop / 1e9:.1f}", f"{speed:.1f}", f"{machine:.1f}", f"{100 * speed / machine:.0f} %",
    ]  # fmt: skip


def measure_generator(name: str, options: Options) -> Found:
    device, network, found = best_device(), GENERATORS[name], Found()
    number = network.gpu_batch if device.type == "cuda" and network.gpu_batch else network.batch
    batch = random_batch(name, number, device)
    precisions = ["fp32", "bf16"] if computes_bfloat16(device) else ["fp32"]
    with device:
        generator = build(name)
    steps = {p: Step(copy.deepcopy(generator), batch, p) for p in precisions}
    if options.profile:
        print_profile(name, steps[precisions[-1]], device)
        return found
    flop = count_flop(Step(copy.deepcopy(generator), batch, "fp32"))
    ways: dict[str, Callable[[], object]] = {**steps}
    ways |= {f"product {p}": matrix_product(p, device) for p in precisions}
    published = None
    if network.kind == "sit":
        randomise(generator)
        for step in steps.values():
            step.generator.load_state_dict(generator.state_dict())
        with device:
            published = PublishedStep(generator, batch, LEARNING_RATE)
        check_equal(published, steps["fp32"])
        ways = {"published": published, **ways}
    if options.compile:
        compiled = Step(copy.deepcopy(generator), batch, precisions[-1])
        compiled.generator.compile_blocks()
        start = seconds_of(compiled, device)
        ways["compiled"] = compiled
    seconds = alternate(ways, options.repeats, device)

    shape = "x".join(map(str, network.latents))
    for p in precisions:
        found.steps.append(
            step_row(name, shape, number, p, seconds[p], flop, seconds[f"product {p}"])
        )
        if published is not None:
            ratio = seconds["published"] / seconds[p]
            theirs, own = f"{seconds['published']:.3f}", f"{seconds[p]:.3f}"
            found.published.append([name, str(number), p, theirs, own, f"{ratio:.2f}"])
    if published is not None:
        if "bf16" not in precisions:
            found.published.append([name, str(number), EMULATED, "", "", ""])
        found.parts = measure_parts(name, published, steps["fp32"], options.repeats, device)
    if options.compile:
        plain, own = seconds[precisions[-1]], seconds["compiled"]
        found.compiled.append(
            [name, precisions[-1], f"{start:.0f}", f"{plain:.3f}", f"{own:.3f}",
             f"{plain / own:.2f}"]
        )  # fmt: skip
    return found


def measure_parts(
    name: str, published: PublishedStep, ours: Step, repeats: int, device: torch.device
) -> list[list[str]]:
    """Rows for the optimizer and the averaged weights alone."""
    published.loss().backward()
    ours.loss().backward()
    ways: dict[str, Callable[[], object]] = {
        "AdamW published": published.optimizer.step,
        "AdamW ours": ours.optimizer.step,
        "average published": published.update_ema,
        "average ours": ours.update_average,
    }
    taken = alternate(ways, 4 * repeats, device)
    rows = []
    for part in ("AdamW", "average"):
        theirs, own = taken[f"{part} published"], taken[f"{part} ours"]
        rows.append([name, part, f"{1e3 * theirs:.1f}", f"{1e3 * own:.1f}", f"{theirs / own:.2f}"])
    return rows


class Between:
    """Called back by a training every so many steps: times these, and a product after each."""

    def __init__(self, steps: int, precision: str, device: torch.device) -> None:
        self.steps = steps
        self.device = device
        self.product = matrix_product(precision, device)
        self.seconds: list[float] = []
        self.products: list[float] = []
        self.begun: float | None = None

    def __call__(self, _: object) -> None:
        """End one stretch of steps and begin another."""
        if self.begun is not None:
            self.seconds.append((time.perf_counter() - self.begun) / self.steps)
        self.products.append(seconds_of(self.product, self.device))
        self.begun = time.perf_counter()


def measure_autoencoder(options: Options) -> Found:
    device = best_device()
    precision = "bf16" if computes_bfloat16(device) else "fp32"
    settings = TrainedAutoencoder(
        origin="trained",
        split="none",
        batch_size=AUTOENCODER_BATCH,
        crop=AUTOENCODER_CROP,
        steps=1 + AUTOENCODER_REPORTED * (1 + options.repeats // 3),
    )
    images = np.random.default_rng(0).integers(256, size=(32, 6, 96, 96), dtype=np.uint8)
    if options.profile:
        short = settings.model_copy(update={"steps": 2})
        print_profile(
            "AutoencoderKL", partial(fit_autoencoder, images, short, device=device), device
        )
        return Found()
    clock = Between(AUTOENCODER_REPORTED, precision, device)
    model = fit_autoencoder(images, settings, device=device, report=clock).model
    model.requires_grad_(True).train()
    planes = torch.randn(AUTOENCODER_BATCH, 3, AUTOENCODER_CROP, AUTOENCODER_CROP, device=device)

    def gradients() -> None:
        latents = model.encode(planes).latent_dist.sample()
        model.decode(latents).sample.mean().backward()

    size = f"planes of {AUTOENCODER_CROP}x{AUTOENCODER_CROP}"
    return steps_found("AutoencoderKL", size, AUTOENCODER_BATCH, precision, clock, gradients)


def measure_resnet(options: Options) -> Found:
    device = best_device()
    precision = "bf16" if computes_bfloat16(device) else "fp32"
    random = np.random.default_rng(0)
    images = random.integers(256, size=(RESNET_BATCH * RESNET_STEPS, 6, 96, 96), dtype=np.uint8)
    train = partial(
        train_resnet18,
        images,
        np.arange(len(images)) % 12,
        channels=[f"channel {number}" for number in range(1, 7)],
        classes=12,
        batch_size=RESNET_BATCH,
        learning_rate=1e-3,
        seed=0,
        device=device,
    )
    if options.profile:
        print_profile("ResNet-18", partial(train, epochs=1), device)
        return Found()
    clock = Between(RESNET_STEPS, precision, device)
    network = train(epochs=1 + max(1, options.repeats // 2), progress=clock).network
    network.requires_grad_(True).train()
    batch = torch.from_numpy(images[:RESNET_BATCH])
    return steps_found("ResNet-18", "fields of 6x96x96", RESNET_BATCH, precision, clock,
                       lambda: network(batch).mean().backward())  # fmt: skip


def steps_found(
    name: str, what: str, number: int, precision: str, clock: Between, call: Callable[[], None]
) -> Found:
    seconds, product = statistics.median(clock.seconds), statistics.median(clock.products)
    row = step_row(name, what, number, precision, seconds, count_flop(call), product)
    return Found(steps=[row])


def print_profile(name: str, call: Callable[[], object], device: torch.device) -> None:
    """Print the operations of a call that take longest by themselves."""
    call()
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        seconds_of(call, device)
    by = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    print(f"\n{name}\n{profiled.key_averages().table(sort_by=by, row_limit=15)}", flush=True)


def measure(name: str, options: Options) -> Found:
    if name in GENERATORS:
        return measure_generator(name, options)
    return measure_autoencoder(options) if name == "AutoencoderKL" else measure_resnet(options)


TABLES: dict[str, Sequence[str]] = {
    "steps": (
        "network", "images", "batch", "precision", "seconds a step", "images a second",
        "GFLOP a step", "GFLOP/s", "matrix product GFLOP/s", "share",
    ),
    "published": (
        "network", "batch", "our precision", "published step, fp32, seconds", "our step, seconds",
        "times as fast",
    ),
    "parts": ("network", "part", "published, ms", "ours, ms", "times as fast"),
    "compiled": (
        "network", "precision", "first step, seconds", "plain step, seconds",
        "compiled step, seconds", "times as fast",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--repeats", type=int, default=5, help="measured steps of each way")
    parser.add_argument("--compile", action="store_true", help="compiled blocks as well: minutes")
    parser.add_argument("--profile", action="store_true", help="print profiles, measure nothing")
    arguments = parser.parse_args()
    options = Options(arguments.repeats, arguments.compile, arguments.profile)
    found = Found()
    for name in arguments.networks:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows = process.submit(measure, name, options).result()
        for table in TABLES:
            getattr(found, table).extend(getattr(rows, table))
    for table, header in TABLES.items():
        if getattr(found, table):
            print(markdown_table(header, getattr(found, table)), end="\n\n")


if __name__ == "__main__":
    main()
