import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from morphpipe.config.conditions import (
    Condition,
    ConstantCondition,
    MorganCondition,
    RDKitCondition,
    ScGPTCondition,
)
from morphpipe.config.weights import Weights

ADAPTER = TypeAdapter(Condition)


def _read(**content):
    return ADAPTER.validate_python(content)


def test_defaults_are_the_papers_where_they_say():
    constant = _read(kind="constant")
    assert isinstance(constant, ConstantCondition)
    assert (constant.width, constant.value) == (768, 1.0)
    scgpt = _read(kind="scgpt", weights="genes")
    assert isinstance(scgpt, ScGPTCondition)
    assert (scgpt.width, scgpt.form) == (512, "table")
    morgan = _read(kind="morgan")
    assert isinstance(morgan, MorganCondition)
    assert (morgan.radius, morgan.bits) == (2, 1024)
    rdkit = _read(kind="rdkit")
    assert isinstance(rdkit, RDKitCondition)
    assert rdkit.form == "computed"
    for condition in (constant, scgpt, morgan, rdkit):
        assert (condition.missing, condition.concentration) == ("stop", "ignored")


@pytest.mark.parametrize(
    ("content", "control"),
    [
        ({"kind": "rdkit"}, "zeros"),
        ({"kind": "morgan"}, "zeros"),
        ({"kind": "scgpt", "weights": "genes"}, "zeros"),
        ({"kind": "table", "file": "mine.csv"}, "as_data"),
        ({"kind": "random"}, "as_data"),
    ],
)
def test_controls_are_told_apart_from_padding(content, control):
    assert _read(**content).control == control


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"kind": "gene2vec"}, "kind"),
        ({"kind": "scgpt"}, "weights"),
        ({"kind": "scgpt", "weights": "w", "form": "checkpoint", "file": "a.csv"}, "fixed names"),
        ({"kind": "rdkit", "form": "table"}, "needs `weights`"),
        ({"kind": "rdkit", "weights": "w"}, "form: table"),
        ({"kind": "rdkit", "form": "table", "weights": "w", "smiles": {"a": "C"}}, "no effect"),
        ({"kind": "random", "smiles": {"a": "C"}}, "smiles"),
        ({"kind": "table"}, "file"),
        ({"kind": "morgan", "bits": 0}, "bits"),
        ({"kind": "constant", "missing": "ignore"}, "missing"),
    ],
)
def test_what_cannot_be_is_an_error(content, said):
    with pytest.raises(ValidationError, match=said):
        _read(**content)


TEXT = (Path(__file__).resolve().parents[2] / "docs/conditions.md").read_text("utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def test_examples_of_the_documentation_are_valid():
    kinds = set()
    for example in EXAMPLES:
        weights = example.get("weights", {})
        for declared in weights.values():
            Weights.model_validate(declared)
        for content in example.get("conditions", {}).values():
            condition = _read(**content)
            kinds.add(condition.kind)
            assert getattr(condition, "weights", None) in {None, *weights}
    assert kinds == {"constant", "scgpt", "rdkit", "morgan", "table", "random"}
