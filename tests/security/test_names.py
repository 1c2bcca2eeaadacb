"""Names that would do harm in a shell, in a path or on a page."""

import copy
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from morphpipe.config import parse_configuration
from morphpipe.core.errors import ConfigError
from morphpipe.core.storage import read_parquet
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images

from ..workflow.conftest import Workflow

REPOSITORY = Path(__file__).resolve().parents[2]
SHELL = ["; touch pwned", "$(touch pwned)", "`touch pwned`", "a' && touch pwned #", '"|touch x']
PATHS = ["../../outside", "/etc/outside", "a/b", "-rf", "..", ".", "~root"]
OTHERS = [
    "two words",
    "Zürich 细胞 🔬",
    "<script>alert(1)</script>",
    "{wildcards.dataset}",
    "%s $x^{",
]

PLATES = ["a; rm -rf *", "../b"]


@pytest.fixture
def tiny():
    return yaml.safe_load((REPOSITORY / "tests/workflow/tiny.yaml").read_text())


@pytest.mark.parametrize("name", [*SHELL, *PATHS, *OTHERS, "", "a\n", "a\0", "x" * 65])
@pytest.mark.parametrize(
    "part", ["datasets", "splits", "autoencoders", "encoders", "morphology", "experiments"]
)
def test_what_becomes_a_folder_is_a_plain_name(tiny, part, name):
    first = next(iter(tiny[part]))
    tiny[part][name] = copy.deepcopy(tiny[part][first])
    with pytest.raises(ConfigError, match=part):
        parse_configuration(tiny)


@pytest.mark.parametrize("name", [*SHELL, *PATHS, "two words", "<b>"])
def test_what_becomes_a_channels_file_is_a_plain_name(name, own):
    own["datasets"]["mine"]["channels"][0]["name"] = name
    with pytest.raises(ConfigError, match="name"):
        parse_configuration(own)


@pytest.fixture
def own(tmp_path):
    """A configuration of one's own plates, whose tables hold all of these names."""
    random = np.random.default_rng(0)
    names = [*SHELL, *PATHS, *OTHERS]
    rows = []
    for plate in PLATES:
        for number, name in enumerate(names):
            row = {"plate": plate, "well": f"A{number + 1:02d}", "perturbation": name}
            row |= {"cell_type": f"cell {name}", "moa": name, "gene": name}
            row["DNA"] = f"{len(rows)}.tif"
            tifffile.imwrite(tmp_path / row["DNA"], random.integers(0, 4000, (64, 64), np.uint16))
            rows.append(row)
    pd.DataFrame(rows).to_csv(tmp_path / "sheet.csv", index=False)
    content = yaml.safe_load((REPOSITORY / "tests/workflow/mirror.yaml").read_text())
    content["licences"] = {"accept": ["MIT"]}
    content["datasets"] = {
        "mine": {
            "source": "sheet",
            "sheet": str(tmp_path / "sheet.csv"),
            "cell_type": "U2OS",
            "channels": [{"name": "DNA", "stain": "<b>Hoechst</b>"}],
        }
    }
    content["splits"]["all"] = {
        "dataset": "mine",
        "fractions": {"train": 0.5, "test": 0.5},
        "single_well": "all-sides",
    }
    content["encoders"]["judge"]["side"] = "train"
    return content


def test_names_from_a_sheet_go_through_the_workflow(own, tmp_path):
    workflow = Workflow(tmp_path / "run", own)
    before = {path for path in tmp_path.rglob("*") if "run" not in path.parts}
    workflow.run("--", "results/splits/all.parquet")
    fields = read_fields(workflow.folder / "results/datasets/mine/fields.parquet")
    keys = fields.keys()
    names = {*SHELL, *PATHS, *OTHERS}
    assert set(keys["plate"]) == set(PLATES)
    assert set(keys["perturbation"]) == names
    assert set(keys["moa"]) == names
    assert keys["cell_type"].str.removeprefix("cell ").tolist() == keys["perturbation"].tolist()
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", i) for i in keys["field_id"])
    assert read_images(fields).shape == (2 * len(names), 1, 64, 64)
    split = read_parquet(workflow.folder / "results/splits/all.parquet")
    assert set(split["field_id"].to_pylist()) <= set(keys["field_id"])
    assert {path for path in tmp_path.rglob("*") if "run" not in path.parts} == before
    assert not list(tmp_path.rglob("pwned"))


def test_shell_commands_quote_every_path(tiny, tmp_path):
    """No job is run: what a shell would be given is taken apart as the shell does it."""
    root = "it's; $(touch pwned) `touch pwned` Zürich 🔬"
    tiny["paths"] = {"results": f"{root}/r", "scratch": f"{root}/s", "cache": f"{root}/c"}
    tiny["morphology"]["cells"] |= {
        "pipeline": str(REPOSITORY / "workflow/pipelines/simulated_6ch.cppipe"),
        "cell_types": [SHELL[0], OTHERS[1]],
        "perturbations": [SHELL[1], OTHERS[3]],
    }
    done = Workflow(tmp_path / "run", tiny).run("-n", "-p")
    commands = re.findall(r"^Shell command: (exec .+)$", done.stdout + done.stderr, re.MULTILINE)
    # Two slices of training, two shards of samples, two of measurements on each side.
    assert len(commands) == 8
    for words in map(shlex.split, commands):
        assert words[1] in ("morphpipe", "env")
        # Every other word is an option or a whole path, whatever stands in it.
        paths = [word for word in words if root in word]
        assert len(paths) >= 4
        assert all(word.startswith(root) for word in paths)
        assert "pwned" not in words
    options = [w for c in commands for w in shlex.split(c) if w.startswith("--perturbation=")]
    assert set(options) == {f"--perturbation={name}" for name in (SHELL[1], OTHERS[3])}
