"""All measures on feature tables alone."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.config.experiments import READ_BY, Evaluation, Experiment, Measure
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.splits.table import write_split
from morphpipe.evaluation import stage
from morphpipe.evaluation.core.cell_counts import COUNT_SCHEMA
from morphpipe.evaluation.registry import MODULES, load_measure
from morphpipe.evaluation.stage import EvaluationInputs, measured
from morphpipe.tables import field_reader
from morphpipe.tables.feature_table import (
    Extraction,
    FeatureTable,
    read_features,
    write_features,
)
from morphpipe.tables.fields import write_fields
from morphpipe.tables.schemas import PAIR_SCHEMA

PERTURBATIONS = ["control", "1", "2"]
ENCODER = Extraction("judge", "resnet18", "", "all", ("DNA", "ER"))


@pytest.fixture
def inputs(make_fields, make_row, tmp_path):
    """A screen of 2 plates, 3 perturbations, 8 wells and 2 fields each; 12 generated of each.

    Features and cell counts are on the disk, the images are not.
    """
    generator = np.random.default_rng(0)
    real = [
        make_row(
            f"real-{plate}-{perturbation}-{well}-{site}",
            plate=f"p{plate}",
            well=f"{perturbation}-{well}",
            site=site,
            perturbation=perturbation,
            control="negative" if perturbation == "control" else "none",
            moa=None if perturbation == "control" else "inhibitor",
        )
        for plate in range(2)
        for perturbation in PERTURBATIONS
        for well in range(8)
        for site in range(2)
    ]
    made = {"origin": "generated", "batch": None, "plate": None, "well": None, "site": None}
    generated = [
        make_row(
            f"made-{perturbation}-{index}",
            perturbation=perturbation,
            control="negative" if perturbation == "control" else "none",
            experiment="tiny",
            training_seed=0,
            sampling_seed=1,
            sample_index=index,
            **made,
        )
        for perturbation in PERTURBATIONS
        for index in range(12)
    ]
    for name, rows in (("real", real), ("generated", generated)):
        fields, _ = make_fields(tmp_path / f"{name}.zip", len(rows), size=(8, 8), rows=rows)
        write_fields(fields, tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.zip").unlink()
        shift = [3 * PERTURBATIONS.index(row["perturbation"]) for row in rows]
        values = generator.standard_normal((len(rows), 4)) + np.array(shift)[:, None]
        (tmp_path / name).mkdir()
        write_features(
            FeatureTable(
                tuple(row["field_id"] for row in rows),
                np.zeros(len(rows), np.int8),
                values.astype(np.float32),
                ENCODER,
            ),
            tmp_path / name / "all.parquet",
        )
        cells = generator.integers(5, 9, len(rows)).tolist()
        ids = [row["field_id"] for row in rows]
        write_parquet(
            pa.table({"field_id": ids, "cells": cells}, schema=COUNT_SCHEMA),
            tmp_path / f"{name}-counts.parquet",
        )
    ids = [row["field_id"] for row in real]
    side = ["train" if int(name.split("-")[3]) < 4 else "test" for name in ids]
    write_split(pd.DataFrame({"field_id": ids, "split": side}), tmp_path / "split.parquet")
    return EvaluationInputs(
        fields=str(tmp_path / "real.parquet"),
        split=str(tmp_path / "split.parquet"),
        samples=[str(tmp_path / "generated.parquet")],
        experiment="tiny",
        dataset="screen",
        generator="SiT",
        source="sheet",
        evaluation={
            "encoders": ["judge"],
            "minimum_images": 4,
            "low_sample": 4,
            "floor_repeats": 2,
            "bootstrap": 10,
            "subset_size": 8,
            "subsets": 2,
            "neighbours": 2,
            "count_bins": 2,
            "perturbation_sets": {"pair": ["control", "2"]},
        },
        real={"judge": [str(tmp_path / "real")]},
        generated={"judge": [str(tmp_path / "generated")]},
        counts=[str(tmp_path / f"{name}-counts.parquet") for name in ("real", "generated")],
    )


# What each measure has to give, of all cell types and perturbations where it has such rows.
EXPECTED = {
    "distances": {"frechet_distance", "kernel_distance", "relative_frechet_distance"},
    "effects": {"cate", "cate_unbiased", "delta_cate"},
    "probes": {"accuracy", "macro_f1", "class_accuracy", "cross_validated_accuracy"},
    "manifold": {"precision", "recall", "density", "coverage"},
    "memorisation": {
        "nearest_training_distance",
        "nearest_training_ratio",
        "data_copying",
        "memorised_share",
    },
    "variance": {"feature_variance", "variance_difference"},
    "cross_perturbation": {"frechet_distance", "kernel_distance"},
    "retrieval": {"mean_average_precision"},
    "condition_fidelity": {"energy_distance", "own_rank", "own_rank_percentile"},
    "batches": {"accuracy", "macro_f1", "cate", "cate_unbiased"},
    "matched": {"mean_cell_count", "accuracy", "cate", "cate_unbiased"},
}


def test_no_measure_looks_at_an_image(inputs, monkeypatch):
    reads = []
    monkeypatch.setattr(field_reader.FieldReader, "read", lambda *_: reads.append(1))
    monkeypatch.setattr(field_reader.FieldReader, "batches", lambda *_: reads.append(1))
    assert set(MODULES) == set(EXPECTED)
    for name in MODULES:
        table = measured(name, inputs)["metrics"].to_pandas()
        known = table[table["value"].notna()]
        assert set(known["metric"]) >= EXPECTED[name], name
        assert set(known["experiment"]) == {"tiny"}
    assert not reads


def test_measures_come_without_any_network():
    script = (
        "import sys, morphpipe.evaluation.stage\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'timm', 'torchvision', 'diffusers'}, loaded\n"
        "assert 'morphpipe.encoders.extract' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_sets_and_pairs(inputs):
    probes = measured("probes", inputs)["metrics"].to_pandas()
    assert set(probes["group"].dropna()) == {"set: pair"}
    crossed = measured("cross_perturbation", inputs)["metrics"].to_pandas()
    assert set(crossed["perturbation"]) == {"control", "2"}
    pairs = measured("memorisation", inputs)["pairs"]
    assert pairs.schema == PAIR_SCHEMA
    assert len(pairs) == 24 + 24


def _change_features(path, *, rows=slice(None), **extraction):
    table = read_features([path])
    write_features(
        FeatureTable(
            table.field_ids[rows],
            table.transforms[rows],
            table.features[rows],
            dataclasses.replace(table.extraction, **extraction),
        ),
        path,
    )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_features_by_other_weights_stop_every_measure(inputs, tmp_path, name):
    _change_features(tmp_path / "generated/all.parquet", weights_sha256="b" * 64)
    with pytest.raises(DataError, match=r"generated/all\.parquet .* weights .*real/all\.parquet"):
        measured(name, inputs)


@pytest.mark.parametrize("side", ["real", "generated"])
@pytest.mark.parametrize("rows", [slice(0), slice(1, None)])
def test_missing_rows_of_features_are_named(inputs, tmp_path, side, rows):
    _change_features(tmp_path / side / "all.parquet", rows=rows)
    first = {"real": "real-0-1-0-0|real-0-control-0-0", "generated": "made-1-0|made-control-0"}
    message = rf"images have no features in .*{side}/all\.parquet, .* '({first[side]})'"
    with pytest.raises(DataError, match=message):
        measured("variance", inputs)


def test_measures_that_apply():
    def experiment(mode, measures):
        return Experiment.model_validate(
            {
                "split": "s",
                "autoencoder": "c",
                "image_mode": mode,
                "evaluation": {"encoders": ["e"], "measures": measures},
            }
        )

    everything = list(Measure.__args__)
    assert experiment("channels", None).measures == everything
    assert set(experiment("rgb", None).measures) == set(everything) - {"matched"}
    assert experiment("channels", ["variance"]).measures == ["variance"]
    assert experiment("channels", []).measures == []
    assert set(everything) - {"reconstruction"} <= set(MODULES)
    assert Evaluation(encoders=["e"]).measures is None


# `measures` chooses tables; what is no setting of a registered measure has a stage of its own.
ELSEWHERE = {
    "encoders", "views", "units", "measures", "reconstruction_fields", "crops", "morphology",
}  # fmt: skip


def test_every_key_of_the_evaluation_is_read_by_a_measure():
    read = {key for name in MODULES for key in READ_BY[name]}
    assert read | ELSEWHERE == Evaluation.model_fields.keys()
    assert MODULES.keys() | {"ranking"} == READ_BY.keys()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_measure_is_registered_with_the_settings_that_it_reads(inputs, monkeypatch, name):
    measure, calls = load_measure(name), []
    assert measure.name == name

    def record(*sets, context, **given):
        calls.append(given)
        return ([], *([] for _ in measure.further)) if measure.further else []

    once = measure.once and record
    recorded = dataclasses.replace(measure, function=record, once=once)
    monkeypatch.setattr(stage, "load_measure", lambda _: recorded)

    def given_to_measure(evaluation):
        calls.clear()
        measured(name, dataclasses.replace(inputs, evaluation=evaluation))
        assert len(calls) == 1 + (once is not None)
        assert all(call == calls[0] for call in calls)
        return calls[0]

    usual, known = given_to_measure(inputs.evaluation), inputs.settings.model_dump()
    assert usual.keys() == {*READ_BY[name], *measure.needs}
    other = {"perturbation_sets": {"other": PERTURBATIONS}}
    for key in Evaluation.model_fields.keys() - ELSEWHERE:
        changed = other.get(key) or known[key] + 1
        found = given_to_measure({**inputs.evaluation, key: changed})
        assert found == usual | ({key: changed} if key in READ_BY[name] else {})


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_measure_has_no_defaults_of_its_own_for_settings(inputs, name):
    """What is not given stops it, whatever key it is."""
    measure = load_measure(name)
    given = measure.settings(inputs.settings) | {n: getattr(inputs, n) for n in measure.needs}
    sets = next(inputs.feature_sets(every_view=False))
    for key in given:
        less = {name: value for name, value in given.items() if name != key}
        with pytest.raises(TypeError, match=key):
            measure.function(*sets, context=inputs.context, **less)


def test_an_unknown_measure_is_named(inputs):
    with pytest.raises(ConfigError, match="measure 'best'; choose from distances, effects"):
        measured("best", inputs)
