"""Mistakes of the user end in one sentence and the exit code 1."""

import pytest
import yaml

from morphpipe.core.errors import MorphpipeError

FIELDS = ("--fields", "{fields}")
DATA = (*FIELDS, "--split", "{split}")
NO_SPLIT = ("--fields", "{fields}", "--split", "{absent}")
NO_FIELDS = ("--fields", "{absent}", "--split", "{split}")
TINY = ("--config", "{config}")
OUT = ("--output", "{out}")
EVALUATED = ("--samples", "{fields}", "--real", "{folder}", "--generated", "{folder}")
REPORTED = (
    "--quarantine", "{absent}", "--samples", "{fields}", "--checkpoint", "{absent}",
    "--metrics", "{absent}", "--real", "{folder}", "--generated", "{folder}",
)  # fmt: skip
RXRX1 = ("--images", "{absent}", "--metadata", "{absent}")


@pytest.fixture
def places(tmp_path, make_fields, make_row, tiny_config):
    """A small field table with its split, a folder with nothing in it, and what is not there."""
    content = yaml.safe_load(tiny_config.read_text())
    content["datasets"]["rxrx1"] = {"source": "rxrx1"}
    content["weights"] = {
        "gone": {"source": f"file:{tmp_path}/gone", "files": ["a"], "licence": "MIT"}
    }
    content["codecs"]["gone"] = {"origin": "pretrained", "weights": "gone"}
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
        (("download", "file:{absent}", "{out}"), "no file"),
        (("download", "ftp://x/y", "{out}"), "https:"),
        (("weights", "none", *TINY), "`weights`"),
        (("weights", "gone", *TINY), "by hand"),
        (("simulate", "{out}", "--cell-types", "neuron"), "neuron"),
        (("simulate", "{out}", "--size", "0"), "field_size"),
        (("simulate", "{out}", "--plate", "0"), "no plate 0"),
        (("simulate", "{out}", *TINY), "--dataset"),
        (("simulate", "{out}", *TINY, "--dataset", "rxrx1"), "not a simulated one"),
        (("simulate", "{out}", *TINY, "--dataset", "screen", "--plate", "3"), "no plate 3"),
        (("fields", "none", *TINY, "--images", "{fields}", *OUT), "`datasets`"),
        (("fields", "screen", *TINY, "--images", "{absent}", *OUT), "absent"),
        (("fields", "screen", *TINY, *RXRX1, *OUT), "no --metadata"),
        (("fields", "rxrx1", *TINY, *RXRX1, *OUT), "absent"),
        (("fields", "rxrx1", *TINY, "--images", "{absent}", *OUT), "--metadata"),
        (("split", "none", *TINY, "--fields", "{fields}", *OUT), "`splits`"),
        (("split", "screen", *TINY, "--fields", "{absent}", *OUT), "no field table"),
        (("train-codec", "none", *TINY, *DATA, *OUT), "it has gone, tiny"),
        (("train-codec", "gone", *TINY, *DATA, *OUT), "morphpipe weights gone"),
        (("train-codec", "tiny", *TINY, *NO_SPLIT, *OUT), "no file"),
        (("train-codec", "tiny", *TINY, *NO_FIELDS, *OUT), "no field table"),
        (("train-codec", "tiny", *TINY, *DATA, *OUT), "crop of 64"),
        (("train-encoder", "gone", *TINY, *DATA, *OUT), "morphpipe weights gone"),
        (("train-encoder", "judge", *TINY, *NO_SPLIT, *OUT), "no file"),
        (("latents", "none", *TINY, *FIELDS, "--codec", "{folder}", *OUT), "`experiments`"),
        (("latents", "tiny", *TINY, *FIELDS, "--codec", "{folder}", *OUT), "config.json"),
        (
            ("latents", "tiny", *TINY, *FIELDS, "--codec", "{folder}", *OUT, "--shard", "2"),
            "from 0 to 1",
        ),
        (
            (
                "targets", "tiny", *TINY, *FIELDS, "--moments", "{folder}",
                "--encoder", "{absent}", *OUT,
            ),
            "cannot be read",
        ),
        (("train", *DATA, "--moments", "{folder}", *OUT), "--settings"),
        (("train", "tiny", *TINY, *DATA, "--moments", "{folder}", *OUT), "shard-*.parquet"),
        (("train", "tiny", *TINY, *DATA, "--moments", "{absent}", *OUT), "absent"),
        (("train", "--settings", "{absent}.json", *DATA, "--moments", "x", *OUT), "no file"),
        (("train", "--settings", "{{", *DATA, "--moments", "x", *OUT), "no JSON"),
        (("train", "--settings", "[]", *DATA, "--moments", "x", *OUT), "object"),
        (("train", "--settings", "{{}}", *DATA, "--moments", "x", *OUT), "'experiment'"),
        (
            ("sample", *DATA, "--checkpoint", "{absent}", "--codec", "{folder}", *OUT),
            "--settings",
        ),
        (
            (
                "sample", "tiny", *TINY, *DATA, "--checkpoint", "{absent}",
                "--codec", "{folder}", *OUT,
            ),
            "checkpoint",
        ),
        (
            (
                "sample", "--settings", '{{"steps": 0}}', *DATA, "--checkpoint", "{absent}",
                "--codec", "{folder}", *OUT,
            ),
            "steps",
        ),
        (
            (
                "sample", "tiny", *TINY, *DATA, "--checkpoint", "{absent}", "--guide", "{absent}",
                "--codec", "{folder}", *OUT,
            ),
            "sampling.guidance.guide",
        ),
        (("generate", "{absent}", "--checkpoint", "{absent}", "--codec", "{folder}"), "checkpoint"),
        (
            (
                "generate", "{absent}", "--checkpoint", "{absent}", "--codec", "{folder}",
                "--shift", "2",
            ),
            "grid 'uniform' has none",
        ),
        (
            (
                "generate", "{absent}", "--checkpoint", "{absent}", "--codec", "{folder}",
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
        (("evaluate", "beauty", "tiny", *TINY, *DATA, *EVALUATED, *OUT), "distances"),
        (("evaluate", "effects", "tiny", *TINY, *DATA, *EVALUATED, *OUT), "no feature table"),
        (("report", "none", *TINY, *DATA, *REPORTED, *OUT), "`experiments`"),
        (("report", "tiny", *TINY, *DATA, *REPORTED, *OUT), "absent"),
        (("show", "{absent}"), "no field table"),
        (("distance", "{fields}", "{fields}", "--encoder", "{absent}"), "cannot be read"),
        (("distance", "{fields}", "{fields}", "--encoder", "{absent}", "--kind", "vgg"), "vgg"),
        (("pack-codec", "{absent}", "{out}"), "config.json"),
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
