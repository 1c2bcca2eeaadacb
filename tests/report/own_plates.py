"""An experiment on own plates: three channels, one cell type, no negative control."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa

from morphpipe.config import parse_configuration
from morphpipe.config.preprocessing import Preprocessing, Quality
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.preparation.quality import QUALITY_KEYS, quality_table, quarantine_of
from morphpipe.datasets.splits.assign import split_by_well
from morphpipe.datasets.splits.leakage import find_leakage
from morphpipe.imaging.quality import reasons
from morphpipe.report.inputs import ExperimentFiles, ReportInputs
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.manifest import Channel, ChannelManifest
from morphpipe.tables.metric_table import metric_table

from .conftest import metric_rows, write_checkpoint

CHANNELS = ("Hoechst", "tubulin", "actin")
PERTURBATIONS = ("taxol", "nocodazole")
LIMITS = {"min_focus": -2.2, "max_saturation": 0.01, "max_debris": 0.05, "min_nuclei": 5}
SETTINGS = {"illumination": "plate-site", "sigma": 50.0, "background": 1, "resize": "squash",
            "size": 32}  # fmt: skip
MANIFEST = ChannelManifest(
    tuple(Channel(name, f"stain of {name}") for name in CHANNELS),
    (0.65, 0.65), 8, "own data", "own plates, plates.csv",
    rgb=("actin", "tubulin", "Hoechst"), preprocessing=Preprocessing(**SETTINGS).model_dump(),
    intensity_windows={f"p{i}": ((90.0 + i, 4000.0), (70.0, 900.5), (60.0, 700.0)) for i in (1, 2)},
)  # fmt: skip


def own_configuration(sheet):
    """The configuration of the experiment."""
    return parse_configuration(
        {
            "title": "Own plates",
            "datasets": {
                "plates": {
                    "source": "sheet",
                    "sheet": str(sheet),
                    "channels": [{"name": n, "stain": f"stain of {n}"} for n in CHANNELS],
                    "rgb": list(MANIFEST.rgb),
                    "preprocessing": SETTINGS,
                    "quality": {**LIMITS, "nuclear": "Hoechst"},
                }
            },
            "splits": {"wells": {"dataset": "plates", "duplicates": "list"}},
            "autoencoders": {
                "own": {"origin": "trained", "split": "wells", "image_mode": "rgb", "steps": 300}
            },
            "encoders": {"judge": {"kind": "resnet18", "split": "wells"}},
            "experiments": {
                "small": {
                    "split": "wells",
                    "autoencoder": "own",
                    "image_mode": "rgb",
                    "generator": {"kind": "sit", "architecture": "SiT-S/2"},
                    "training": {"steps": 600, "slices": 2, "batch_size": 16},
                    "evaluation": {"encoders": ["judge"], "minimum_images": 6},
                }
            },
        }
    )


def _row(plate, well, perturbation):
    return {
        "field_id": f"{plate}-{well}", "dataset": "plates", "origin": "real", "cell_type": "HeLa",
        "batch": "b", "plate": plate, "well": well, "site": 1, "perturbation": perturbation,
        "perturbation_kind": "compound", "control": "none",
    }  # fmt: skip


def _measured(row, generator, broken):
    """A row of the quality table, with a fault where one is asked for."""
    measures = {}
    for i, channel in enumerate(CHANNELS):
        measures[f"focus_{channel}"] = generator.normal(-1.5 - 0.1 * i, 0.1)
        measures[f"saturation_{channel}"] = max(0.0, generator.normal(0, 1e-3))
        measures[f"contrast_{channel}"] = generator.gamma(4, 6)
        measures[f"debris_{channel}"] = max(0.0, generator.normal(2e-3, 2e-3))
    measures["nuclei"] = float(generator.integers(15, 25))
    measures |= broken
    why = "; ".join(reasons(measures, Quality(**LIMITS).limits))
    return {key: row.get(key) for key in QUALITY_KEYS} | {
        "reason": why or None, "pixels_sha256": row["field_id"], **measures
    }  # fmt: skip


FAULTS = (
    {"focus_tubulin": -2.9},
    {"focus_tubulin": -2.4, "focus_actin": -2.6},
    {"saturation_Hoechst": 0.04, "nuclei": 2.0},
    {"debris_actin": 0.12},
)


def make_own_inputs(folder):
    """Write all files and describe them."""
    generator = np.random.default_rng(0)
    rows = [
        _row(f"p{plate}", f"{line}{column:02d}", name)
        for plate in (1, 2)
        for line, name in zip("BC", PERTURBATIONS, strict=True)
        for column in range(1, 13)
    ]
    with write_archive(folder / "images.zip", MANIFEST) as archive:
        for row in rows:
            archive.add(row, generator.integers(0, 256, (3, 32, 32), dtype=np.uint8))
    real = read_fields(folder / "images.zip")
    quality = [_measured(row, generator, {}) for row in rows]
    quality += [
        _measured(_row("p1", f"D{i:02d}", "taxol"), generator, broken)
        for i, broken in enumerate(FAULTS)
    ]
    unreadable = _row("p1", "E01", "taxol")
    quality.append({key: unreadable.get(key) for key in QUALITY_KEYS}
                   | {"reason": "Field p1-E01, channel actin cannot be decoded."})  # fmt: skip
    frame = quality_table(pd.DataFrame(quality))
    write_parquet(frame, folder / "quality.parquet")
    aside = quarantine_of(frame.to_pandas())
    aside.loc[len(aside)] = ["p2-E01", "plates.csv names no file for actin"]
    split = split_by_well(real.keys(), {"train": 0.5, "encoder": 0.25, "test": 0.25}, 0)
    sides = {side: list(part["field_id"]) for side, part in split.groupby("split")}
    # One field of the test side has the pixels of one that was trained on.
    pixels = pd.Series({name: name for name in real.field_ids})
    pixels[sides["test"][0]] = sides["train"][0]
    leaks = find_leakage(split, real.keys(), [], pixels)
    for name, table in (("quarantine", aside), ("split", split), ("leakage", leaks)):
        write_parquet(pa.Table.from_pandas(table, preserve_index=False), folder / f"{name}.parquet")
    rgb = ChannelManifest(
        tuple(Channel(name, "RGB rendering") for name in ("red", "green", "blue")),
        MANIFEST.pixel_size, 8, "own data", "generated",
    )  # fmt: skip
    with write_archive(folder / "samples.zip", rgb) as archive:
        for index in range(48):
            row = _row(None, None, PERTURBATIONS[index % 2]) | {
                "field_id": f"g-{index:03d}", "origin": "generated", "batch": None, "site": None,
                "experiment": "small", "training_seed": 0, "sampling_seed": 0,
                "sample_index": index,
            }  # fmt: skip
            archive.add(row, generator.integers(0, 256, (3, 32, 32), dtype=np.uint8))
    samples = read_fields(folder / "samples.zip")
    metrics = metric_rows(
        real.select(sides["test"]), real.select(sides["train"]),
        SimpleNamespace(keys=samples.keys), {"taxol": 2.0}, "judge", 0.2, "rgb", effects=False,
    )  # fmt: skip
    write_parquet(metric_table(metrics), folder / "metrics.parquet")
    # The table of fields is the archive's own.
    files = ExperimentFiles(
        name="small", fields=folder / "images.zip", quarantine=folder / "quarantine.parquet",
        split=folder / "split.parquet", samples=(folder / "samples.zip",),
        checkpoints=(write_checkpoint(folder),), metrics=(folder / "metrics.parquet",),
        quality=folder / "quality.parquet", leakage=folder / "leakage.parquet",
    )  # fmt: skip
    sheet = pd.DataFrame(rows)[["plate", "well", "site", "perturbation"]]
    sheet = sheet.assign(**{name: "x.tif" for name in CHANNELS})
    sheet.to_csv(folder / "plates.csv", index=False)
    configuration = own_configuration(folder / "plates.csv")
    return ReportInputs(configuration=configuration, experiments=(files,))
