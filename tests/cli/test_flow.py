"""A whole run, from a simulated screen to a report, verb by verb."""

import hashlib
import json

import pandas as pd
import pytest
import torch
import yaml

from morphpipe.core.storage import read_parquet
from morphpipe.tables.archive import read_fields
from morphpipe.tables.metric_table import METRIC_SCHEMA


@pytest.fixture
def config(tmp_path, tiny_config):
    """The tiny configuration with fewer steps."""
    content = yaml.safe_load(tiny_config.read_text())
    content["codecs"]["tiny"]["steps"] = 4
    content["experiments"]["tiny"]["training"] |= {"steps": 6, "slices": 1, "deterministic": False}
    content["experiments"]["tiny"]["sampling"] |= {"steps": 2, "shards": 1, "per_condition": 8}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def own_threads():
    """The number of threads that a verb sets is set back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("own_threads")
def test_whole_run_by_verbs(morphpipe, tmp_path, config):
    def call(*arguments):
        ended = morphpipe(*arguments)
        assert ended.code == 0, f"{arguments[0]}: {ended.err[-2000:]}"
        return ended.out

    def at(name):
        return tmp_path / name

    use = ("--config", config)
    images = ("--fields", at("fields.parquet"))
    data = (*images, "--split", at("split.parquet"))
    archives = [at("shard-0.zip"), at("shard-1.zip")]
    for number, archive in enumerate(archives):
        call("simulate", archive, *use, "--dataset", "screen", "--plate", number + 1)
    call(
        "fields", "screen", *use, "--output", at("fields.parquet"),
        *(part for archive in archives for part in ("--images", archive)),
    )  # fmt: skip
    fields = read_fields(at("fields.parquet"))
    # 2 plates, 2 cell types, 2 perturbations, 4 wells, 2 fields each
    assert len(fields) == 2 * 2 * 2 * 4 * 2
    assert set(fields.keys()["dataset"]) == {"screen"}

    said = call("split", "screen", *use, *data[:2], "--output", at("split.parquet"))
    assert "train: 32 fields" in said
    call("train-codec", "tiny", *use, *data, "--output", at("codec"), "--threads", 1)
    assert len(pd.read_csv(at("codec") / "history.csv"))
    said = call("pack-codec", at("codec"), at("packed"))
    assert hashlib.sha256((at("packed") / "config.json").read_bytes()).hexdigest() in said
    for name in ("judge", "aligner"):
        call("train-encoder", name, *use, *data, "--output", at(name))

    call("latents", "tiny", *use, *images, "--codec", at("codec"), "--output", at("latents"))
    call(
        "targets", "tiny", *use, *images, "--moments", at("latents"), "--encoder", at("aligner"),
        "--output", at("targets"),
    )  # fmt: skip
    cached = [read_parquet(at("latents") / f"shard-{n}.parquet").to_pandas() for n in (0, 1)]
    everything = set(read_fields(at("fields.parquet")).field_ids)
    assert set(pd.concat(cached)["field_id"]) == everything

    call(
        "train", "tiny", *use, *data, "--moments", at("latents"), "--targets", at("targets"),
        "--output", at("checkpoint"), "--seed", 3,
    )  # fmt: skip
    state = json.loads((at("checkpoint") / "state.json").read_text())
    assert state["step"] == 6
    assert state["settings"]["seed"] == 3
    call(
        "sample", "tiny", *use, *data, "--checkpoint", at("checkpoint"), "--codec", at("codec"),
        "--output", at("samples.zip"),
    )  # fmt: skip
    assert len(read_fields(at("samples.zip"))) == 4 * 8

    at("conditions.csv").write_text("cell_type,perturbation,images\nfibroblast,control,3\n")
    said = call(
        "generate", at("conditions.csv"), "--checkpoint", at("checkpoint"), "--codec", at("codec"),
        "--size", 64, "--steps", 2, "--output", at("generated.zip"),
    )  # fmt: skip
    assert said.startswith("3 images")
    assert set(read_fields(at("generated.zip")).keys()["cell_type"]) == {"fibroblast"}
    call("show", at("generated.zip"), "--output", at("generated.png"))
    assert at("generated.png").read_bytes().startswith(b"\x89PNG")

    for name, images in (("real", at("fields.parquet")), ("generated", at("samples.zip"))):
        call(
            "features", "judge", *use, "--fields", images, "--encoder", at("judge"),
            "--view", "all", "--view", "DNA", "--output", at(name),
        )  # fmt: skip
        assert {path.name for path in at(name).iterdir()} == {"all.parquet", "DNA.parquet"}
    features = ("--real", at("real"), "--generated", at("generated"))
    tables = []
    for metrics in ("distances", "effects", "probes"):
        tables.append(at(f"{metrics}.parquet"))
        call(
            "evaluate", metrics, "tiny", *use, *data, "--samples", at("samples.zip"), *features,
            "--output", tables[-1],
        )  # fmt: skip
        assert read_parquet(tables[-1]).schema.equals(METRIC_SCHEMA)
    counts = []
    for name, fields in (("real", at("fields.parquet")), ("made", at("samples.zip"))):
        counts += ["--counts", at(f"{name}-counts.parquet")]
        said = call("count-cells", "--fields", fields, "--output", counts[-1])
        assert "cells in" in said
    for metrics, options in (("matched", counts), ("memorisation", ["--pairs", at("pairs")])):
        call(
            "evaluate", metrics, "tiny", *use, *data, "--samples", at("samples.zip"), *features,
            *options, "--output", at(f"{metrics}.parquet"),
        )  # fmt: skip
        assert read_parquet(at(f"{metrics}.parquet")).schema.equals(METRIC_SCHEMA)
    assert read_parquet(at("pairs"))["training_field_id"].to_pylist()
    call(
        "reconstruct", "tiny", *use, *data, "--codec", at("codec"),
        "--output", at("reconstruction.parquet"),
    )  # fmt: skip
    assert "channels-to-rgb" in read_parquet(at("reconstruction.parquet"))["view"].to_pylist()
    call(
        "report", "tiny", *use, *data, "--quarantine", at("quarantine.parquet"),
        "--samples", at("samples.zip"), "--checkpoint", at("checkpoint"), *features,
        *(part for table in tables for part in ("--metrics", table)),
        "--codec", at("codec"), "--encoder", at("judge"), "--output", at("report.html"),
    )  # fmt: skip
    assert "tiny" in at("report.html").read_text()

    said = call(
        "distance", at("shard-0.zip"), at("shard-0.zip"),
        "--encoder", at("judge") / "weights.safetensors",
    )  # fmt: skip
    # Of a set from itself it is nothing.
    assert float(said.split("Fréchet distance:")[1].split()[0]) == pytest.approx(0, abs=1e-3)
