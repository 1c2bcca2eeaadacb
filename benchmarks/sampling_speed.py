"""Speed of sampling with the papers' sampler and with the demo's, with and without the decoder.

    python benchmarks/sampling_speed.py [--batch 24] [--repeats 3]

Networks of random weights on the demo's latents (24x12x12): 50 steps of euler-maruyama, as in
MorphGen and REPA, against the sampler of `config/demo.yaml`, both without guidance, which would
double the evaluations of both. The latents are those of
`morphpipe.sampling.generate.sample_latents`, noise and precision included; they are decoded to six
planes of 96x96 by the autoencoder that came with the repository. Each network has a process of its
own, in which the two samplers are taken in turn and the medians compared.

This measures time alone. That fewer evaluations give images of equal quality is shown by
`benchmarks/evaluations.py`, with trained networks.
"""

import argparse
import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from measuring import markdown_table, seconds_of

from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.config.experiments import Experiment
from morphpipe.config.generators import FlowUNet, Generator, SiT
from morphpipe.config.sampling import Guidance, Sampling
from morphpipe.core.devices import best_device, uses_bfloat16
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.sampling.generate import sample_latents
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.training.settings import TrainingSettings
from morphpipe.transport.times import evaluations

ROOT = Path(__file__).resolve().parents[1]
AUTOENCODER = ROOT / "weights" / "simulated-autoencoder"
CHANNELS = ("DNA", "ER", "actin", "RNA", "mitochondria", "Golgi")
LATENT_SHAPE = (24, 12, 12)
PAPERS = Sampling(sampler="euler-maruyama", steps=50)
GENERATORS: dict[str, Generator] = {
    "SiT-Na/1": SiT(kind="sit", architecture="SiT-Na/1"),
    "FlowUNet-S": FlowUNet(kind="flow_unet", architecture="FlowUNet-S"),
}
HEADER = (
    "network", "sampler", "evaluations", "precision", "images a second, latents",
    "images a second, decoded", "times as fast, latents", "times as fast",
)  # fmt: skip


def demo() -> Experiment:
    content = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text("utf-8"))
    return Experiment.model_validate(content["experiments"]["demo"])


def random_generator(name: str) -> TrainedGenerator:
    """A generator as it is before any training, for two cell types and six perturbations."""
    settings = TrainingSettings(
        experiment="benchmark",
        seed=0,
        image_mode="channels",
        autoencoder="small",
        channels=CHANNELS,
        generator=GENERATORS[name],
        training=demo().training,
    )
    vocabulary = Vocabulary(tuple("abcdef"), ("x", "y"), ("simulated",) * 6)
    network = build_generator(settings.generator, vocabulary, LATENT_SHAPE)
    network.eval().requires_grad_(False).to(best_device())
    return TrainedGenerator(network, vocabulary, settings, 0, LATENT_SHAPE, "")


def measure(name: str, batch: int, repeats: int) -> list[list[str]]:
    """Rows of one network."""
    device = best_device()
    generator, autoencoder = (
        random_generator(name),
        load_autoencoder(AUTOENCODER, "channels", device=device),
    )
    plan = pd.DataFrame(
        {
            "image": np.arange(batch),
            "perturbation": np.resize(list("abcdef"), batch),
            "cell_type": np.resize(["x", "y"], batch),
        }
    )
    samplers = [PAPERS, demo().sampling.model_copy(update={"guidance": Guidance()})]
    taken: list[list[tuple[float, float]]] = [[] for _ in samplers]
    for _ in range(repeats + 1):
        for settings, seconds in zip(samplers, taken, strict=True):
            latents = []
            sampled = seconds_of(
                lambda s=settings, into=latents: into.append(sample_latents(generator, plan, s, 0)),
                device,
            )
            decoded = seconds_of(lambda z=latents: autoencoder.decode(z[0], len(CHANNELS)), device)
            seconds.append((sampled, sampled + decoded))
    half = uses_bfloat16(generator.settings.training.precision, device)
    # Without the first round, which allocates.
    speeds = [
        [batch / statistics.median(s) for s in zip(*seconds[1:], strict=True)] for seconds in taken
    ]
    path = generator.settings.generator.path
    rows = []
    for settings, own in zip(samplers, speeds, strict=True):
        gains = [speed / papers for speed, papers in zip(own, speeds[0], strict=True)]
        rows.append(
            [name, f"{settings.sampler}, {settings.steps} steps", str(evaluations(settings, path)),
             "bf16" if half else "fp32", *(f"{number:.3g}" for number in (*own, *gains))]
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=24, help="images at once")
    parser.add_argument("--repeats", type=int, default=3, help="measured rounds")
    arguments = parser.parse_args()
    rows = []
    for name in GENERATORS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += process.submit(measure, name, arguments.batch, arguments.repeats).result()
    print(markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
