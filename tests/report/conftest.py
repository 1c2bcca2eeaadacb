"""A small experiment whose files look like the workflow's: a stand-in generator, real code else."""

# Imported first, so that torchvision loads beside a CPU torch.
import morphpipe  # noqa: F401  # isort: skip
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.config import parse_configuration
from morphpipe.config.experiments import Evaluation
from morphpipe.core.checksums import write_checked_json
from morphpipe.core.storage import read_parquet, write_parquet
from morphpipe.datasets.preparation.quality import QUALITY_KEYS, quality_table
from morphpipe.datasets.simulated import (
    CHANNELS,
    PIXEL_SIZE,
    STAINS,
    ScreenDesign,
    plate_layout,
    simulate_field,
    true_effect,
)
from morphpipe.datasets.splits.assign import split_by_well
from morphpipe.datasets.splits.leakage import find_leakage
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.distances.rows import distance_rows
from morphpipe.evaluation.effects.rows import treatment_effect_rows
from morphpipe.evaluation.probes.rows import probing_rows
from morphpipe.evaluation.registry import load_measure
from morphpipe.report.content import gather
from morphpipe.report.inputs import ExperimentFiles, ReportInputs
from morphpipe.report.site import write_site
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.feature_table import Extraction, FeatureTable, write_features
from morphpipe.tables.fields import write_fields
from morphpipe.tables.manifest import Channel, ChannelManifest
from morphpipe.tables.metric_table import metric_table

from . import extras

CELL_TYPES = ("epithelial", "fibroblast")
PERTURBATIONS = ("control", "inert", "graded-low", "graded-mid", "graded-high")
SCRIPT = """'"><script>alert(1)</script><a href="javascript:alert(1)" onclick="x">$x^{"""
QUARANTINED = ("broken-field-1", "Field broken-field-1, channel ER cannot be decoded <truncated>.")
SCREEN = ScreenDesign(
    seed=3, cell_types=CELL_TYPES, perturbations=PERTURBATIONS, plates=2, replicates=6,
    field_size=64, sites=1,
)  # fmt: skip
MANIFEST = ChannelManifest(
    tuple(Channel(n, s) for n, s in zip(CHANNELS, STAINS, strict=True)),
    (PIXEL_SIZE, PIXEL_SIZE), 8, "none needed (simulated)", "the simulated screen, seed 3",
)  # fmt: skip
CONTEXT = {"dataset": "screen", "experiment": "small", "generator": "SiT-S/2"}


def configuration_of(**experiment):
    """A configuration whose experiment can be changed."""
    content = {
        "title": "A small simulated screen",
        "licences": {"accept": ["MIT"]},
        "datasets": {"screen": {"source": "simulated", "field_size": 64, "plates": 2}},
        "splits": {"by-well": {"dataset": "screen"}},
        "autoencoders": {"own": {"origin": "trained", "split": "by-well", "steps": 300}},
        "encoders": {
            "aligner": {"kind": "resnet18", "split": "by-well", "side": "train"},
            "judge": {"kind": "resnet18", "split": "by-well"},
        },
        "experiments": {
            "small": {
                "split": "by-well",
                "autoencoder": "own",
                "generator": {
                    "kind": "sit",
                    "architecture": "SiT-S/2",
                    "alignment": {"encoder": "aligner", "block": 2},
                },
                "training": {"steps": 600, "slices": 2, "batch_size": 16},
                "sampling": {"seeds": [0, 1], "per_condition": 12},
                "evaluation": {"encoders": ["aligner", "judge"], "minimum_images": 6},
            }
            | experiment
        },
    }
    return parse_configuration(content)


def _condition(perturbation):
    return {
        "perturbation": perturbation,
        "perturbation_kind": "none" if perturbation == "control" else "compound",
        "control": "negative" if perturbation == "control" else "none",
    }


def _degraded(image, generator):
    """What a poor generator makes of a real image: noise, a shift of grey levels."""
    noise = generator.normal(0, 14, image.shape)
    return np.clip(image * generator.uniform(0.75, 1.05) + noise, 0, 255).astype(np.uint8)


def _write_images(folder, rename):
    generator = np.random.default_rng(0)
    pictures = {}
    with write_archive(folder / "images.zip", MANIFEST) as archive:
        for plate in (1, 2):
            for well in plate_layout(SCREEN, plate):
                image = simulate_field(SCREEN, well, 1)
                name = rename.get(well.perturbation, well.perturbation)
                pictures.setdefault((well.cell_type, name), []).append(image)
                row = {
                    "field_id": f"{well.plate}-{well.well}-1", "dataset": "screen",
                    "origin": "real", "cell_type": well.cell_type, "batch": "1",
                    "plate": well.plate, "well": well.well, "site": 1, **_condition(name),
                }  # fmt: skip
                archive.add(row, image)
    samples = []
    for seed in (0, 1):
        path = folder / f"samples-{seed}.zip"
        samples.append(path)
        with write_archive(path, MANIFEST) as archive:
            for (cell_type, name), images in pictures.items():
                number = list(pictures).index((cell_type, name))
                for index in range(12):
                    row = {
                        "field_id": f"g-{seed}-{number}-{index:03d}", "dataset": "screen",
                        "origin": "generated", "cell_type": cell_type, "experiment": "small",
                        "training_seed": 0, "sampling_seed": seed, "sample_index": index,
                        **_condition(name),
                    }  # fmt: skip
                    archive.add(row, _degraded(images[index % len(images)], generator))
    return samples


def _features(keys, strengths, generator, shift):
    """Features in which a condition moves the mean by the root of its effect."""
    values = generator.normal(0, 1, (len(keys), 12))
    values[:, 0] += [strengths.get(p, 0.0) for p in keys["perturbation"]]
    values[:, 1] += [3.0 * (c == CELL_TYPES[1]) for c in keys["cell_type"]]
    return (values + shift).astype(np.float32)


def metric_rows(real, train, generated, strengths, extractor, shift, view="all", effects=True):
    """Rows as evaluation makes them, on features made up here."""
    generator = np.random.default_rng(5)
    true = {p: v**2 for p, v in REAL_STRENGTHS.items()}
    sets = [
        FeatureSet(t.keys(), _features(t.keys(), s, generator, x), extractor, view)
        for t, s, x in (
            (generated, strengths, shift), (real, REAL_STRENGTHS, 0), (train, REAL_STRENGTHS, 0)
        )
    ]  # fmt: skip
    evaluation = Evaluation(encoders=[extractor], floor_repeats=3, minimum_images=6)
    settings = load_measure("distances").settings(evaluation)
    rows = distance_rows(*sets, context=CONTEXT, **settings)
    if effects:
        rows += treatment_effect_rows(
            *sets[:2], context=CONTEXT, true_effects=true, floor_repeats=10, seed=2020
        )
    # Single channels have no probes, as in the workflow.
    return rows + (probing_rows(*sets, context=CONTEXT, seed=2020) if view == "all" else [])


# Distance in feature space by perturbation: squares are the effects.
REAL_STRENGTHS = {
    "inert": 0.0,
    SCRIPT: 0.0,
    "graded-low": 1.5,
    "graded-mid": 3.0,
    "graded-high": 4.5,
}
WRONG_STRENGTHS = {
    "inert": 4.5,
    SCRIPT: 4.5,
    "graded-low": 3.0,
    "graded-mid": 1.5,
    "graded-high": 0.0,
}


def quality_rows(fields):
    """Quality as the workflow measures it, without opening an image: numbers made up here."""
    generator = np.random.default_rng(7)
    counts = {"control": 20, "inert": 20, "graded-low": 18, "graded-mid": 13, "graded-high": 10}
    for row in fields.rows():
        measures = {}
        for i, channel in enumerate(CHANNELS):
            measures[f"focus_{channel}"] = generator.normal(-1.5 - 0.1 * i, 0.1)
            measures[f"saturation_{channel}"] = max(0.0, generator.normal(0, 1e-3))
            measures[f"contrast_{channel}"] = generator.gamma(4, 6)
            measures[f"debris_{channel}"] = max(0.0, generator.normal(2e-3, 2e-3))
        nuclei = counts.get(row["perturbation"], 20) + int(generator.integers(-2, 3))
        yield {key: row.get(key) for key in QUALITY_KEYS} | {
            "reason": None, "pixels_sha256": f"sum of {row['field_id']}", "nuclei": nuclei,
            "foreground_DNA": 0.2, **measures,
        }  # fmt: skip


def write_checkpoint(folder):
    """What a training of 600 steps leaves, but for the weights."""
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    steps = np.arange(20, 620, 20)
    log = pd.DataFrame(
        {
            "step": steps, "loss": 1 / np.sqrt(steps), "diffusion": 4 / np.sqrt(steps) + 0.4,
            "alignment": -1 + 3 / np.sqrt(steps), "gradient_norm": 1.0, "learning_rate": 1e-4,
            "seconds": 3.0,
        }
    )  # fmt: skip
    log.to_csv(checkpoint / "log.csv", index=False)
    state = {
        "step": 600,
        "identity": "x",
        "settings": {"seed": 0},
        "sha256": {"ema.safetensors": "ab" * 32},
    }
    write_checked_json(state, checkpoint / "state.json")
    (checkpoint / "README.md").write_text("# small, training seed 0, step 600\n")
    return checkpoint


def make_inputs(folder: Path, *, strengths=None, rename=None, configuration=None):
    """Write all files of the small experiment and describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = _write_images(folder, rename or {})
    real = read_fields(folder / "images.zip")
    write_fields(replace(real, folder=folder), folder / "fields.parquet")
    split = split_by_well(real.keys(), {"train": 0.5, "encoder": 0.25, "test": 0.25}, 0)
    write_parquet(pa.Table.from_pandas(split, preserve_index=False), folder / "split.parquet")
    looked_at = pd.DataFrame(
        [*quality_rows(real), {"field_id": QUARANTINED[0], "reason": QUARANTINED[1]}]
    )
    write_parquet(quality_table(looked_at), folder / "quality.parquet")
    leakage = find_leakage(split, real.keys(), [], pd.Series(dtype="string"))
    write_parquet(pa.Table.from_pandas(leakage, preserve_index=False), folder / "leakage.parquet")
    quarantine = pd.DataFrame([QUARANTINED], columns=["field_id", "reason"])
    write_parquet(
        pa.Table.from_pandas(quarantine, preserve_index=False), folder / "quarantine.parquet"
    )
    sides = {side: part["field_id"] for side, part in split.groupby("split")}
    tables = [read_fields(path) for path in samples]
    generated = SimpleNamespace(
        keys=lambda: pd.concat([t.keys() for t in tables], ignore_index=True)
    )
    held, train = real.select(sides["test"]), real.select(sides["train"])
    rows = []
    strengths = strengths or REAL_STRENGTHS
    for extractor, view, shift in (
        ("aligner", "all", 0.1), ("judge", "all", 0.3), ("judge", "DNA", 0.6)
    ):  # fmt: skip
        rows += metric_rows(held, train, generated, strengths, extractor, shift, view)
    write_parquet(metric_table(rows), folder / "metrics.parquet")
    generator = np.random.default_rng(6)
    extraction = Extraction("judge", "resnet18", "0" * 64, "all", CHANNELS)
    for name, table in (("real", real), *((f"made-{i}", t) for i, t in enumerate(tables))):
        values = _features(table.keys(), REAL_STRENGTHS, generator, 0.0 if name == "real" else 0.3)
        content = FeatureTable(
            tuple(table.field_ids), np.zeros(len(table), np.int8), values, extraction
        )
        write_features(content, folder / f"features-{name}.parquet")
    checkpoint = write_checkpoint(folder)
    autoencoder = folder / "autoencoder"
    autoencoder.mkdir()
    pd.DataFrame(
        {"step": [100, 300], "loss": [0.2, 0.05], "mse": [0.1, 0.02], "kl": [9.0, 8.0]}
    ).to_csv(autoencoder / "history.csv", index=False)
    files = ExperimentFiles(
        name="small", fields=folder / "fields.parquet", quarantine=folder / "quarantine.parquet",
        split=folder / "split.parquet", samples=tuple(samples), checkpoints=(checkpoint,),
        metrics=(folder / "metrics.parquet",), quality=folder / "quality.parquet",
        leakage=folder / "leakage.parquet", features=(folder / "features-real.parquet",),
        generated_features=tuple(folder / f"features-made-{i}.parquet" for i in range(2)),
    )  # fmt: skip
    weights = {
        "sd-vae": {
            "source": "hf://stabilityai/sd-vae-ft-mse", "revision": "31f26fd", "licence": "MIT",
            "sha256": {"model.safetensors": "cd" * 32}, "note": None,
        }
    }  # fmt: skip
    return ReportInputs(
        configuration=configuration or configuration_of(),
        experiments=(files,),
        weights=weights,
        autoencoders={"own": autoencoder},
        encoders={"judge": folder / "nowhere"},
        versions={"morphpipe": "0.1.0", "torch": "2.13.0"},
    )


def with_extras(inputs, folder, text="Fréchet distances"):
    """A run with all that a larger one has: further metrics, pairs, papers, benchmarks."""
    files = inputs.experiments[0]
    generated = read_fields(files.samples[0]).field_ids[:8]
    split = read_parquet(files.split).to_pandas().groupby("split")["field_id"].agg(list)
    benchmarks, logs = extras.write_benchmarks(folder)
    files = replace(
        files,
        metrics=(*files.metrics, *extras.write_measures(folder)),
        pairs=extras.write_pairs(folder, generated, split["test"][:3], split["train"]),
    )
    papers = extras.write_items(folder / "papers", text)
    return replace(inputs, experiments=(files,), papers=papers, benchmarks=benchmarks, logs=logs)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A run that came out well."""
    folder = tmp_path_factory.mktemp("good")
    return with_extras(make_inputs(folder), folder)


@pytest.fixture(scope="session")
def content(inputs):
    """All that the report on it says."""
    return gather(inputs)


@pytest.fixture(scope="session")
def drawn():
    """Figures that are drawn already, so that no two tests draw the same."""
    return {}


def with_plots(content, wanted):
    """The same report with fewer figures, which take long to draw."""
    sections = []
    for section in content.sections:
        plots = {topic: list(filter(wanted, of)) for topic, of in section.plots.items()}
        measures = [
            replace(part, plots=list(filter(wanted, part.plots))) for part in section.measures
        ]
        sections.append(replace(section, plots=plots, measures=measures))
    stage_plots = list(filter(wanted, content.stage_plots))
    return replace(content, sections=sections, stage_plots=stage_plots)


@pytest.fixture(scope="session")
def bare(content):
    """The same report without a figure, and with few pictures."""
    made = with_plots(content, lambda plot: False)
    return replace(made, sections=[replace(s, samples=s.samples[:1]) for s in made.sections])


@pytest.fixture(scope="session")
def site(content, drawn, tmp_path_factory):
    """Its pages, with the first figure of each kind."""
    folder = tmp_path_factory.mktemp("site") / "report"
    folder.mkdir()
    write_site(with_plots(content, lambda plot: not plot.collapsed), folder, drawn)
    return folder


@pytest.fixture(scope="session")
def hostile_inputs(tmp_path_factory):
    """A run whose effects come out in the wrong order, with a perturbation named as a script."""
    folder = tmp_path_factory.mktemp("hostile")
    made = make_inputs(folder, strengths=WRONG_STRENGTHS, rename={"inert": SCRIPT})
    return with_extras(made, folder, SCRIPT)


@pytest.fixture(scope="session")
def true_order():
    """The graded series by true effect, from the dataset itself."""
    names = [p for p in PERTURBATIONS if p != "control"]
    return sorted(names, key=lambda p: true_effect(p, CELL_TYPES[0]))


@pytest.fixture(scope="session")
def own_inputs(tmp_path_factory):
    """Own plates: raw planes that were preprocessed, limits, leaks, and no negative control."""
    from .own_plates import make_own_inputs

    return make_own_inputs(tmp_path_factory.mktemp("own"))
