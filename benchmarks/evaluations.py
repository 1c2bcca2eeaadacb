"""Quality of a flow's images against how often its network is evaluated, for every solver.

    python benchmarks/evaluations.py --checkpoint DIR --autoencoder DIR --encoder DIR \
        --fields fields.parquet --split split.parquet --output evaluations [--seeds 0 1 2]

Every solver, grid and number of evaluations is sampled once per sampling seed, from the same noise.
The images are judged in memory: each goes through the encoder once. The Fréchet distance is a
multiple of the floor, at the floor's number of images: both are measured against the same halves
of the held-out fields, split by well (`morphpipe.evaluation.core.floor`). Precision and recall are
those of as many generated images as one half has against that half; the floor's row has those of
the other half. Intervals are 95 % t-intervals over sampling seeds.

Writes `<output>.csv`, anew after every setting, and `<output>.png`.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.config.sampling import FLOW, FLOW_SAMPLERS, Guidance, Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.encoders.base import Encoder
from morphpipe.encoders.configured import load_encoder, record_in
from morphpipe.encoders.extract import rgb_planes
from morphpipe.encoders.registry import KINDS
from morphpipe.evaluation.core.feature_set import KEY_COLUMNS, FeatureSet
from morphpipe.evaluation.core.floor import (
    Averaged,
    SplitHalf,
    conditions_by,
    draw_matched,
    measure_against_halves,
    measure_floor,
    split_halves,
)
from morphpipe.evaluation.core.scopes import of_generated_conditions
from morphpipe.evaluation.core.seed_interval import seed_interval
from morphpipe.evaluation.coverage.manifold import manifold_scores
from morphpipe.evaluation.distances.measures import Frechet
from morphpipe.report.figures.drawing import CONDITIONS, FLOOR_GREY, STYLE, new_figure
from morphpipe.sampling.generate import generated_manifest, sample_latents
from morphpipe.sampling.load import TrainedGenerator, load_with_autoencoder
from morphpipe.sampling.plan import sampling_plan
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.manifest import ChannelManifest
from morphpipe.transport.times import evaluations

SEED = 2020  # of the split halves and of what is drawn from the generated images
NUMBERS = ("ratio", "precision", "recall", "images_per_second")
LINES = {"uniform": "-", "shifted": "--", "edm": ":"}


@dataclass(frozen=True)
class Judge:
    """An encoder, the view that it is given, and the real images that others are held against."""

    encoder: Encoder
    view: str
    batch_size: int

    def features(self, images: NDArray[np.uint8], manifest: ChannelManifest) -> NDArray[np.float32]:
        """Features [n, d] of images [n, C, H, W]."""
        rgb = self.view == "rgb"
        planes = rgb_planes(images, manifest) if rgb else torch.from_numpy(images)
        with torch.inference_mode():
            parts = [self.encoder.embed(part, self.view) for part in planes.split(self.batch_size)]
        return torch.cat(parts).float().cpu().numpy()


def budgets(wanted: list[int], samplers: list[str], grids: list[str]) -> Iterator[Sampling]:
    """Settings that cost exactly so many evaluations; those that cannot are left out."""
    for sampler in samplers:
        for grid in grids:
            for number in wanted:
                heun = sampler == "heun"
                settings = Sampling(
                    sampler=sampler,
                    grid=grid,
                    steps=number // 2 if heun else number,
                    last_correction=heun,
                )
                if settings.unsuited_to(FLOW) is None and evaluations(settings, FLOW) == number:
                    yield settings


def generated_keys(plan: pd.DataFrame, training_seed: int, sampling_seed: int) -> pd.DataFrame:
    """What is known of the generated images, as a feature set has it."""
    keys = plan[["cell_type", "perturbation", "control"]].assign(
        field_id=[f"generated-{index}" for index in plan["sample_index"]],
        origin="generated",
        training_seed=training_seed,
        sampling_seed=sampling_seed,
    )
    return keys.reindex(columns=KEY_COLUMNS)


def sample(
    generator: TrainedGenerator,
    autoencoder: Autoencoder,
    plan: pd.DataFrame,
    settings: Sampling,
    seed: int,
) -> NDArray[np.uint8]:
    """Images [n, C, H, W] of a plan."""
    channels = autoencoder_channels(generator)
    return np.concatenate(
        [
            autoencoder.decode(
                sample_latents(
                    generator, plan.iloc[start : start + settings.batch_size], settings, seed
                ),
                channels,
            )
            .cpu()
            .numpy()
            for start in range(0, len(plan), settings.batch_size)
        ]
    )


def autoencoder_channels(generator: TrainedGenerator) -> int:
    """Channels of the generated images."""
    settings = generator.settings
    return len(settings.channels) if settings.image_mode == "channels" else 3


def manifold(
    candidates: FeatureSet, real: FeatureSet, drawn: list[SplitHalf], neighbours: int
) -> tuple[float, float]:
    """Precision and recall against the first halves, averaged over the split halves."""
    random = np.random.default_rng(SEED)
    pool, target = (conditions_by(images, "condition") for images in (candidates, real))
    values = []
    for split_half in drawn:
        chosen, _ = draw_matched(pool, target[split_half.first], random)
        scores = manifold_scores(
            candidates.features[chosen], real.features[split_half.first], neighbours
        )
        values.append((scores["precision"].value, scores["recall"].value))
    precision, recall = np.mean(values, axis=0)
    return float(precision), float(recall)


def floor_row(
    real: FeatureSet, drawn: list[SplitHalf], floor: Averaged, neighbours: int
) -> dict[str, Any]:
    """The row of the floor: one half of the real fields against the other."""
    scores = [
        manifold_scores(real.features[h.second], real.features[h.first], neighbours) for h in drawn
    ]
    return {
        "sampler": "floor",
        "images": len(drawn[0].first),
        "frechet_distance": floor.value,
        "ratio": 1.0,
        "precision": float(np.mean([score["precision"].value for score in scores])),
        "recall": float(np.mean([score["recall"].value for score in scores])),
    }


def over_seeds(per_seed: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each number over the sampling seeds, with its interval (none of a single seed)."""
    row: dict[str, float] = {}
    for name in per_seed[0]:
        values = {(None, seed): one[name] for seed, one in enumerate(per_seed)}
        row[name] = float(np.mean(list(values.values())))
        interval = seed_interval(values)
        if interval is not None:
            row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


@mpl.rc_context(STYLE)
def draw(table: pd.DataFrame, path: Path) -> None:
    """Ratio to the floor against the evaluations: a colour per solver, a dash per grid."""
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    made = table[table["sampler"] != "floor"]
    colours = dict(zip(FLOW_SAMPLERS, (*CONDITIONS, "#1d2329"), strict=False))
    several = made["grid"].nunique() > 1
    for (sampler, grid), line in made.groupby(["sampler", "grid"], sort=False):
        axes.plot(
            line["evaluations"], line["ratio"], color=colours[sampler], ls=LINES[grid], lw=1.4,
            marker="o", ms=3.5, label=f"{sampler}, {grid}" if several else sampler,
        )  # fmt: skip
        if "ratio_low" in line:
            axes.fill_between(
                line["evaluations"], line["ratio_low"], line["ratio_high"],
                color=colours[sampler], alpha=0.12, lw=0,
            )  # fmt: skip
    axes.axhline(1, color=FLOOR_GREY, lw=1.6)
    axes.annotate("floor: real against real", (0.01, 1), xycoords=("axes fraction", "data"),
                  xytext=(0, -4), textcoords="offset points", fontsize=8, va="top")  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted(made["evaluations"].unique())
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yscale("log")
    values = [value for value in (1, 1.5, 2, 3, 5, 10, 20) if value < 1.5 * made["ratio"].max()]
    axes.set_yticks(values, [f"{value:g}" for value in values])
    axes.set_ylim(0.8, 1.3 * made["ratio"].max())
    axes.minorticks_off()
    axes.set_xlabel("evaluations of the network per image")
    axes.set_ylabel("Fréchet distance, multiples of the floor")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=200)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "autoencoder", "encoder", "fields", "split"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("evaluations"))
    parser.add_argument("--encoder-kind", choices=KINDS, default="resnet18")
    parser.add_argument("--view", default="all", help="what the encoder sees")
    parser.add_argument("--scaling-factor", type=float)
    parser.add_argument("--per-condition", type=int, default=100, help="images of each")
    parser.add_argument("--cell-types", nargs="+")
    parser.add_argument("--perturbations", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samplers", nargs="+", default=FLOW_SAMPLERS, choices=FLOW_SAMPLERS)
    parser.add_argument("--grids", nargs="+", default=["uniform", "shifted"], choices=LINES)
    parser.add_argument(
        "--evaluations", type=int, nargs="+", default=[4, 6, 8, 12, 16, 24, 50, 100]
    )
    parser.add_argument(
        "--guidance", type=float, default=1.0, help="its scale; but for 1, an evaluation costs two"
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--neighbours", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="split halves of the real fields")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    table = read_fields(arguments.fields)
    split = read_split(arguments.split)
    test = table.select(fields_on(split, "test"))
    keys = test.keys()
    size = int(keys["height"].iloc[0]), int(keys["width"].iloc[0])
    generator, autoencoder = load_with_autoencoder(
        arguments.checkpoint, arguments.autoencoder, size, scaling_factor=arguments.scaling_factor
    )
    if generator.settings.generator.path is not FLOW:
        raise ConfigError(f"{arguments.checkpoint} is no flow: its samplers are of another kind.")
    manifest = generated_manifest(table.manifest, generator.settings)
    encoder = load_encoder(
        arguments.encoder.name,
        {"kind": arguments.encoder_kind},
        record_in(arguments.encoder, {"kind": arguments.encoder_kind}),
        manifest.names,
    )
    judge = Judge(encoder, arguments.view, arguments.batch_size)
    wanted = Sampling(
        per_condition=arguments.per_condition,
        cell_types=arguments.cell_types,
        perturbations=arguments.perturbations,
    )
    plan = sampling_plan(table.select(split["field_id"]).keys(), wanted, generator.conditions)

    def feature_set(keys: pd.DataFrame, features: NDArray[np.float32]) -> FeatureSet:
        return FeatureSet(keys, features, encoder.name, arguments.view)

    nothing = np.zeros((len(plan), encoder.width), np.float32)
    planned = feature_set(generated_keys(plan, 0, 0), nothing)
    real = feature_set(
        keys.reindex(columns=KEY_COLUMNS), judge.features(read_images(test), table.manifest)
    )
    real = of_generated_conditions(real, planned)
    drawn = split_halves(real, repeats=arguments.repeats, at_most=len(plan), seed=SEED)
    measure = Frechet(encoder.name)
    floor, _ = measure_floor(measure, real, drawn)
    rows = [floor_row(real, drawn, floor, arguments.neighbours)]
    print(f"floor {floor.value:.4g} with {len(drawn[0].first)} images on either side")
    # The first batch on a GPU loads kernels, which no solver shall pay for.
    sample(generator, autoencoder, plan.iloc[: arguments.batch_size], Sampling(steps=2), 0)
    for settings in budgets(arguments.evaluations, arguments.samplers, arguments.grids):
        number = evaluations(settings, FLOW)
        settings = settings.model_copy(
            update={
                "batch_size": arguments.batch_size,
                "guidance": Guidance(scale=arguments.guidance),
            }
        )
        per_seed = []
        for seed in arguments.seeds:
            start = time.perf_counter()
            images = sample(generator, autoencoder, plan, settings, seed)
            seconds = time.perf_counter() - start
            generated = feature_set(
                generated_keys(plan, generator.settings.seed, seed),
                judge.features(images, manifest),
            )
            distance, _ = measure_against_halves(
                measure, generated, real, drawn, match="condition", seed=SEED
            )
            precision, recall = manifold(generated, real, drawn, arguments.neighbours)
            numbers = (distance.value / floor.value, precision, recall, len(plan) / seconds)
            per_seed.append(dict(zip(NUMBERS, numbers, strict=True)))
        row = {
            "sampler": settings.sampler,
            "grid": settings.grid,
            "steps": settings.steps,
            "evaluations": number,
            "guidance": arguments.guidance,
            "images": len(drawn[0].first),
            "seeds": len(per_seed),
        } | over_seeds(per_seed)
        rows.append(row)
        pd.DataFrame(rows).to_csv(arguments.output.with_suffix(".csv"), index=False)
        print(
            f"{row['sampler']:15s} {row['grid']:8s} {row['evaluations']:4d} evaluations: "
            f"{row['ratio']:.3f} times the floor, {row['images_per_second']:.2f} images/s",
            flush=True,
        )
    draw(pd.DataFrame(rows), arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
