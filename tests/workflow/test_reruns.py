"""The page on what a change of the configuration makes again, against dry runs."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from morphpipe.config import parse_configuration

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "reruns.md").read_text("utf-8")
PAGES = {"report"}
# Where the keys of the page stand in the small configuration.
PLACES = {
    "datasets": ["datasets", "screen"],
    "splits": ["splits", "screen"],
    "autoencoders": ["autoencoders", "tiny"],
    "encoders": ["encoders", "judge"],
    "morphology": ["morphology", "cells"],
    **{
        part: ["experiments", "tiny", part]
        for part in ("generator", "training", "sampling", "evaluation", "fidelity")
    },
    "note": ["experiments", "tiny", "note"],
}
# Another value than the small configuration's, where it is no number to be raised.
VALUES = {
    "title": "other",
    "only": ["tiny"],
    "note": "other",
    "paths.scratch": "elsewhere",
    "paths.staging": "/tmp",
    "paths.environments": "elsewhere",
    "paths.lock": "elsewhere.json",
    "datasets.cell_types": ["epithelial"],
    "datasets.perturbations": ["control", "graded-low"],
    "datasets.density": 0.5,
    "datasets.rgb": ["DNA", "ER", "actin"],
    "splits.fractions": {"train": 0.25, "encoder": 0.5, "test": 0.25},
    "splits.hold_out": [{"perturbation": "graded-high"}],
    "splits.hold_out_to": "nowhere",
    "splits.duplicates": "list",
    "splits.single_well": "all-sides",
    "autoencoders.block_out_channels": [8, 8, 8, 16],
    "autoencoders.norm_num_groups": 2,
    "encoders.side": "train",
    "encoders.channel_dropout": 0.5,
    "morphology.side": "train",
    "morphology.pipeline": str(REPOSITORY / "workflow/pipelines/cellpainting_6ch.cppipe"),
    "morphology.images": "rgb",
    "morphology.cell_types": ["epithelial"],
    "morphology.perturbations": ["control"],
    "morphology.recipe": "morphgen",
    "morphology.correlation": "spearman",
    "morphology.correlation_floor": "minimum",
    "morphology.floor_repeats": 3,
    "morphology.clustering_seeds": [1],
    "morphology.maximum_failed": 0.1,
    "generator.architecture": "SiT-Na/1",
    "generator.alignment.weight": 0.25,
    "generator.labels": ["perturbation"],
    "generator.batch_by": "plate",
    "generator.coupling": "control",
    "generator.source_noise": 0.25,
    "generator.prediction": "data",
    "sampling.batch": None,
    "generator.label_dropout": 0.2,
    "generator.label_dropout_mode": "independent",
    "training.seeds": [0, 1],
    "training.slices": 4,
    "training.steps": 80,
    "training.batch_size": 16,
    "training.final_learning_rate": 0.5,
    "training.optimizer": "adam",
    "training.betas": [0.9, 0.95],
    "training.ema_decay": 0.5,
    "training.ema_deviation": 0.1,
    "training.time_sampling": "logit-normal",
    "training.precision": "fp32",
    "training.augmentation": "none",
    "sampling.seeds": [0, 1],
    "sampling.sampler": "euler",
    "sampling.grid": "edm",
    "sampling.cell_types": ["epithelial"],
    "sampling.perturbations": ["control"],
    "sampling.random_perturbations": 1,
    "sampling.guidance.high": 0.5,
    "sampling.guidance.low": 0.25,
    "sampling.shards": 1,
    "evaluation.views": ["all", "DNA"],
    "evaluation.units": "site",
    "evaluation.measures": ["memorisation", "matched", "reconstruction", "variance"],
    "evaluation.crops": {"size": 48},
    "evaluation.morphology": None,
    "evaluation.perturbation_sets": {"both": ["control", "graded-high"]},
    "fidelity.average": "released_code",
    "fidelity.requeue": "released_code",
    "fidelity.sampling_noise": "released_code",
}
# What names other parts, or is of a kind that the small workflow does not have.
ELSEWHERE = re.compile(
    r"papers|licences|weights|conditions|comparisons|encoders\.aligner|paths\.(results|cache)|.*\.(source|licence|origin|kind|dataset|split|"
    r"autoencoder|image_mode|encoder|encoders|condition|trained_by|channels|nodes|shift|"
    r"last_correction|one_set|guide|threads)$|generator\.alignment\.place"
)


def _rows():
    """Keys of the first table with the rules that the page names."""
    part = PAGE.split("## Tested for every key")[1].split("\n## ")[0]
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            keys, begins = cells[0], cells[1]
            rules = PAGES if begins == "pages" else set(re.findall(r"`(\w+)`", begins))
            for key in re.findall(r"`([\w.]+)`", keys):
                yield key, rules


ROWS = dict(_rows())


def _place(key):
    first, *rest = key.split(".")
    return [*PLACES[first], *rest] if first in PLACES else key.split(".")


def _changed(tiny, whole, key):
    """The small configuration with another value at a key."""
    content, known = copy.deepcopy(tiny), whole
    *parents, last = _place(key)
    at = content
    for name in parents:
        at = at.setdefault(name, {})
        known = known[name]
    old = known[last]
    if key in VALUES:
        at[last] = VALUES[key]
    elif isinstance(old, bool):
        at[last] = not old
    else:
        at[last] = old + 1 if isinstance(old, int) else 0.5
    assert at[last] != old, key
    return content


@pytest.fixture(scope="module")
def beginnings(left_alone, tiny):
    """First jobs by rule, for every key of the page."""
    whole = parse_configuration(copy.deepcopy(tiny)).model_dump(mode="json")
    given = {
        "snakefile": str(REPOSITORY / "Snakefile"),
        "folder": str(left_alone.folder),
        "configurations": [tiny, *(_changed(tiny, whole, key) for key in ROWS)],
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "reruns.py")],
        input=json.dumps(given),
        env=left_alone.environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    unchanged, *found = json.loads(done.stdout)
    assert unchanged == {}
    return dict(zip(ROWS, found, strict=True))


def test_page_says_where_a_change_begins(beginnings):
    wrong = {
        key: (sorted(begins), sorted(set(beginnings[key])))
        for key, begins in ROWS.items()
        # The pages are made again with every change, some of them for its own sake.
        if set(beginnings[key]) - (PAGES - begins) != begins
    }
    assert wrong == {}


def test_a_further_seed_repeats_no_other(beginnings):
    assert beginnings["training.seeds"] == {"train": 1}
    assert beginnings["sampling.seeds"] == {"sample": 2}


def test_page_has_every_key(tiny):
    whole = parse_configuration(copy.deepcopy(tiny)).model_dump(mode="json")
    places = {".".join(_place(key)) for key in ROWS}

    def leaves(content, path=()):
        for name, value in content.items():
            place = ".".join([*path, name])
            if place in places:
                continue
            if isinstance(value, dict) and value:
                yield from leaves(value, (*path, name))
            else:
                yield place

    missing = [place for place in leaves(whole) if not ELSEWHERE.match(place)]
    assert missing == []
