"""Mistakes of the user end in one sentence and the exit code 1."""

import pytest
import yaml

from morphpipe.core.errors import MorphpipeError

FIELDS = ("--fields", "{fields}")
DATA = (*FIELDS, "--split", "{split}")
TINY = ("--config", "{config}")
OUT = ("--output", "{out}")
SAMPLED = (*DATA, "--checkpoint", "{absent}", "--autoencoder", "{folder}", *OUT)
# As the rule passes them.
SETTINGS = (
    "--settings",
    '{{"experiment": "tiny", "seed": 0, "image_mode": "channels", "autoencoder": "tiny", '
    '"generator": {{"kind": "sit", "architecture": "SiT-test/2"}}, "training": {{}}, '
    '"fidelity": {{}}}}',
)


@pytest.fixture
def places(tmp_path, make_fields, make_row, tiny_config):
    """A small field table with its split, a folder with nothing in it, and what is not there."""
    content = yaml.safe_load(tiny_config.read_text())
    content["datasets"]["rxrx1"] = {"source": "rxrx1"}
    content["weights"] = {
        "gone": {"source": f"file:{tmp_path}/gone", "files": ["a"], "licence": "MIT"}
    }
    content["autoencoders"]["gone"] = {"origin": "pretrained", "weights": "gone"}
    content["encoders"]["gone"] = {"kind": "inception", "weights": "gone"}
    content["paths"] = {"cache": str(tmp_path / "cache")}
    content["splits"]["screen"]["fractions"] = {"train": 0.5, "encoder": 0.25, "test": 0.25}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    rows = [make_row(f"f{i}", plate=f"p{i % 2}", well=f"B{i:02d}") for i in range(8)]
    make_fields(tmp_path / "fields.zip", 8, rows=rows)
    split = tmp_path / "split.parquet"
    _write_split(rows, split)
    (tmp_path / "folder").mkdir()
    return {
        "config": config,
        "fields": tmp_path / "fields.zip",
        "split": split,
        "folder": tmp_path / "folder",
        "absent": tmp_path / "absent",
        "out": tmp_path / "out",
    }


def _write_split(rows, path):
    import pandas as pd

    from morphpipe.datasets.splits.table import write_split

    sides = ["train", "encoder", "test", "test"] * 2
    write_split(pd.DataFrame({"field_id": [r["field_id"] for r in rows], "split": sides}), path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("check", "{absent}"), "no configuration file"),
        (("estimate", "{absent}"), "no configuration file"),
        (("simulate", "{out}", "--cell-types", "neuron"), "neuron"),
        (("simulate", "{out}", "--size", "0"), "field_size"),
        (("simulate", "{out}", "--plate", "0"), "no plate 0"),
        (("simulate", "{out}", *TINY), "--dataset"),
        (("simulate", "{out}", *TINY, "--dataset", "rxrx1"), "is not simulated"),
        (("simulate", "{out}", *TINY, "--dataset", "screen", "--plate", "3"), "no plate 3"),
        (("train", *SETTINGS, *DATA, "--moments", "{folder}", *OUT), "shard-*.parquet"),
        (("train", *SETTINGS, *DATA, "--moments", "{absent}", *OUT), "absent"),
        (("train", "--settings", "{absent}.json", *DATA, "--moments", "x", *OUT), "no file"),
        (("train", "--settings", "{{", *DATA, "--moments", "x", *OUT), "not valid JSON"),
        (("train", "--settings", "[]", *DATA, "--moments", "x", *OUT), "object"),
        (("train", "--settings", "{{}}", *DATA, "--moments", "x", *OUT), "lacks the key"),
        (
            ("sample", *SAMPLED, "--settings", "{{}}"),
            "checkpoint",
        ),
        (
            ("sample", *SAMPLED, "--settings", '{{"steps": 0}}'),
            "steps",
        ),
        (
            ("sample", *SAMPLED, "--settings", "{{}}", "--guide", "{absent}"),
            "sampling.guidance.guide",
        ),
        (
            ("sample", *SAMPLED, "--settings", "{{}}", "--shard", "1"),
            "from 0 to 0",
        ),
        (
            ("generate", "{absent}", "--checkpoint", "{absent}", "--autoencoder", "{folder}"),
            "checkpoint",
        ),
        (
            (
                "generate", "{absent}", "--checkpoint", "{absent}", "--autoencoder", "{folder}",
                "--shift", "2",
            ),
            "grid 'uniform' has none",
        ),
        (
            (
                "generate", "{absent}", "--checkpoint", "{absent}", "--autoencoder", "{folder}",
                "--sampler", "dpm",
            ),
            "'heun'",
        ),
        (
            ("features", "judge", *TINY, "--fields", "{fields}", "--encoder", "{absent}", *OUT),
            "cannot be read",
        ),
        (
            ("features", "gone", *TINY, "--fields", "{fields}", "--encoder", "{absent}", *OUT),
            "weights.json",
        ),
        (("evaluate", "beauty", "tiny", *TINY, *OUT), "distances"),
        (("evaluate", "effects", "none", *TINY, *OUT), "`experiments`"),
        (("evaluate", "effects", "tiny", *TINY, *OUT), "has no "),
        (("report", "none", *TINY, *OUT), "`experiments`"),
        (("report", "tiny", *TINY, *OUT), "has no "),
        (("show", "{absent}"), "does not exist"),
        (("distance", "{fields}", "{fields}", "--encoder", "{absent}"), "cannot be read"),
        (("distance", "{fields}", "{fields}", "--encoder", "{absent}", "--kind", "vgg"), "vgg"),
        (("export", "{absent}", *OUT), "config.json"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)  # fmt: skip
def test_mistake_is_one_sentence(morphpipe, places, arguments, expected):
    ended = morphpipe(*(argument.format(**places) for argument in arguments))
    assert ended.code == 1
    said = [line for line in ended.err.splitlines() if line.strip()]
    assert expected in said[-1]
    kinds = {kind.__name__ for kind in MorphpipeError.__subclasses__()}
    assert said[-1].split(":")[0] in kinds
    assert "Traceback" not in ended.err
    assert not places["out"].exists()


def test_faults_of_ours_keep_their_traceback(monkeypatch, tiny_config):
    import sys

    from morphpipe.cli import main

    def broken(path):
        raise KeyError("ours")

    monkeypatch.setattr("morphpipe.plan.checks.read_plan", broken)
    monkeypatch.setattr(sys, "argv", ["morphpipe", "check", str(tiny_config)])
    with pytest.raises(KeyError):
        main()
