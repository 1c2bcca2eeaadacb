"""Time and memory of preprocessing one plate of many fields.

    python benchmarks/preprocessing.py [--fields 10000] [--size 256]

The fields are simulated; 200 different ones stand in the sheet again and again under other names,
which spares the disk and changes nothing for the memory: each is read and written anew.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from morphpipe.config.datasets import SimulatedDataset
from morphpipe.config.preprocessing import Preprocessing, Quality
from morphpipe.datasets.preparation.preprocess import preprocess_plate
from morphpipe.datasets.simulated import CHANNELS, STAINS, plate_layout, simulate_field
from morphpipe.datasets.simulated.source import screen_design
from morphpipe.datasets.sources.sheet import KEY_COLUMNS, SampleSheet
from morphpipe.tables.manifest import Channel

DIFFERENT = 200


def write_fields(folder: Path, size: int) -> None:
    settings = {"source": "simulated", "field_size": size, "replicates": DIFFERENT // 10}
    design = screen_design(SimulatedDataset.model_validate(settings))
    for number, well in enumerate(plate_layout(design, 1)[:DIFFERENT]):
        stack = simulate_field(design, well, 1).astype(np.uint16) * 257
        tifffile.imwrite(folder / f"{number}.tif", stack, photometric="minisblack")


def sheet(folder: Path, fields: int) -> SampleSheet:
    rows = []
    for number in range(fields):
        row: dict[str, object] = dict.fromkeys(KEY_COLUMNS)
        row |= {
            "field_id": f"f{number:05d}",
            "plate": "p1",
            "well": f"{chr(65 + number // 48 % 16)}{number % 48 + 1:02d}",
            "site": number // (16 * 48) + 1,
            "cell_type": "simulated",
            "batch": "1",
            "perturbation": "any",
            "perturbation_kind": "compound",
            "control": "none",
        }
        row |= {name: f"{number % DIFFERENT}.tif#{page}" for page, name in enumerate(CHANNELS)}
        rows.append(row)
    channels = tuple(Channel(name, stain) for name, stain in zip(CHANNELS, STAINS, strict=True))
    return SampleSheet(pd.DataFrame(rows), channels, None, "MIT", "simulated", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_fields(folder, arguments.size)
        rows = sheet(folder, arguments.fields)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        start = time.perf_counter()
        preprocess_plate(
            rows,
            "benchmark",
            Preprocessing(illumination="plate", sigma=50),
            Quality(),
            folder / "images.zip",
            folder / "quality.parquet",
        )
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{arguments.fields} fields of 6x{arguments.size}x{arguments.size}: {seconds:.0f} s, "
            f"{seconds / arguments.fields * 1e3:.1f} ms a field; memory {peak:.2f} GB at its peak, "
            f"{before:.2f} GB before; archive "
            f"{(folder / 'images.zip').stat().st_size / 1e9:.2f} GB"
        )


if __name__ == "__main__":
    main()
