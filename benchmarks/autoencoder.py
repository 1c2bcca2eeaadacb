"""What an autoencoder loses: error, fine detail, and agreement by CellProfiler.

    python benchmarks/autoencoder.py weights/simulated-autoencoder [more autoencoders] \
        --results results/demo --split screen --morphology cells \
        --cellprofiler environments/cellprofiler-*/bin/python

No generator can agree better with real fields than the reconstructions of its autoencoder do.
Training fields stand in the place of generated ones, once as they are and once through each
autoencoder, and are compared with the held-out fields as generated ones would be
(`profile_correlation`, docs/morphology.md). `--results` is a finished run whose held-out fields
CellProfiler has measured. Power is that of reconstructed over real planes, by frequency in cycles
a pixel.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measuring import markdown_table
from numpy.typing import NDArray

from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.morphology.sets import MorphologySettings
from morphpipe.evaluation.morphology.stage import evaluate_morphology
from morphpipe.morphology.profiles import field_profiles, write_profiles
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.fields import FieldTable

ROOT = Path(__file__).resolve().parents[1]
BANDS = (0.05, 0.1, 0.2, 0.3, 0.5)  # ends, cycles a pixel
CONDITION = ["cell_type", "perturbation"]


def chosen_fields(fields: FieldTable, per_condition: int) -> FieldTable:
    """The first fields of each condition."""
    keys = fields.keys().reset_index(drop=True)
    return fields.take(keys.groupby(CONDITION).head(per_condition).index.to_numpy())


def powers(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean power [channels, bands] of images [n, C, H, W], under a Hann window."""
    planes = images.astype(np.float32)
    planes -= planes.mean((2, 3), keepdims=True)
    height, width = images.shape[2:]
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.square(np.abs(np.fft.fft2(planes * window))).mean(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    starts = (0.0, *BANDS[:-1])
    bands = [
        (frequency >= start) & (frequency < end) for start, end in zip(starts, BANDS, strict=True)
    ]
    return np.stack([power[:, band].mean(1) for band in bands], axis=1)


def signal_to_noise(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio, dB."""
    error = np.square(found.astype(np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / error))


def agreement(
    images: NDArray[np.uint8], fields: FieldTable, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Agreement and its interval of these images, and of halves of the real fields."""
    results = arguments.results
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with write_archive(folder / "fields.zip", fields.manifest) as archive:
            for row, image in zip(fields.rows(), images, strict=True):
                kept = {key: row[key] for key in row if key not in ("channels", "height", "width")}
                archive.add(
                    kept | {"origin": "generated", "experiment": "x", "training_seed": 0,
                            "sampling_seed": 0},
                    image,
                )  # fmt: skip
        measured = {kind: folder / f"{kind}.parquet" for kind in ("image", "objects")}
        subprocess.run(
            [
                arguments.cellprofiler, "-m", "morphpipe.morphology.measure",
                "--fields", folder / "fields.zip", "--pipeline", arguments.pipeline,
                "--scratch", folder / "scratch", "--labels", folder / "labels.npz",
                "--image", measured["image"], "--objects", measured["objects"],
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            check=True,
        )  # fmt: skip
        profiles = field_profiles(
            [measured["image"]], [measured["objects"]], [folder / "fields.zip"]
        )
        write_profiles(profiles, folder / "profiles.parquet")
        tables = {kind: folder / f"{kind}.table" for kind in ("metrics", "differences",
                  "correlations", "scores")}  # fmt: skip
        evaluate_morphology(
            real=[results / "morphology" / arguments.morphology / "profiles.parquet"],
            generated=[folder / "profiles.parquet"],
            split=results / "splits" / f"{arguments.split}.parquet",
            recipes=["fixed"],
            context={"dataset": "x", "experiment": "x", "generator": "x"},
            settings=MorphologySettings(),
            **tables,
        )
        rows = pd.read_parquet(tables["metrics"])
    pooled = rows[
        (rows["metric"] == "profile_correlation") & (rows["view"] == "fixed")
        & (rows["cell_type"] == "all") & (rows["perturbation"] == "all")
    ].set_index("comparison")  # fmt: skip
    return {
        comparison: pooled.loc[comparison, ["value", "ci_low", "ci_high"]].tolist()
        for comparison in ("generated-real", "real-real")
    }


def with_interval(numbers: list[float]) -> str:
    value, low, high = numbers
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("autoencoders", type=Path, nargs="+", help="their folders")
    parser.add_argument("--results", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--split", required=True)
    parser.add_argument("--morphology", required=True)
    parser.add_argument("--cellprofiler", type=Path, required=True, help="python that has it")
    parser.add_argument(
        "--pipeline", type=Path, default=ROOT / "workflow/pipelines/simulated_6ch.cppipe"
    )
    parser.add_argument("--per-condition", type=int, default=16, help="fields of each")
    arguments = parser.parse_args()
    (path,) = (arguments.results / "datasets").glob("*/fields.parquet")
    table = read_fields(path)
    sides = read_split(arguments.results / "splits" / f"{arguments.split}.parquet")
    fields = chosen_fields(table.select(fields_on(sides, "train")), arguments.per_condition)
    images = read_images(fields)
    found = agreement(images, fields, arguments)
    rows = [
        ["two halves of the held-out fields", "", "", with_interval(found["real-real"])],
        ["as they are", "", "", with_interval(found["generated-real"])],
    ]
    details: list[list[Any]] = []
    for folder in arguments.autoencoders:
        autoencoder = load_autoencoder(folder, "channels")
        through = torch.cat(
            [
                autoencoder.decode(autoencoder.moments(part)[:, 0], images.shape[1])
                for part in torch.from_numpy(images).split(16)
            ]
        ).numpy()
        kept = powers(through) / powers(images)
        rows.append(
            [
                str(folder),
                f"{signal_to_noise(through, images):.1f}",
                f"{kept[:, -1].min():.0%} to {kept[:, -1].max():.0%}",
                with_interval(agreement(through, fields, arguments)["generated-real"]),
            ]
        )
        details += [
            [str(folder), channel, *(f"{share:.0%}" for share in shares)]
            for channel, shares in zip(fields.manifest.names, kept, strict=True)
        ]
    print(markdown_table(("fields", "PSNR, dB", f"power above {BANDS[-2]}", "agreement"), rows))
    print()
    print(
        markdown_table(("autoencoder", "channel", *(f"power to {end}" for end in BANDS)), details)
    )


if __name__ == "__main__":
    main()
