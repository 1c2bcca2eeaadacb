"""What the documentation tells people to write has to be what the models take."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from morphpipe.config.conditions import Condition
from morphpipe.config.datasets import Dataset
from morphpipe.config.fidelity import Fidelity
from morphpipe.config.generators import Generator
from morphpipe.config.morphology import Morphology
from morphpipe.config.sampling import Sampling
from morphpipe.config.splits import Split
from morphpipe.config.weights import Weights

DOCS = Path(__file__).resolve().parents[2] / "docs"
# The parts of an experiment that a page shows alone.
PARTS = {
    "generator": TypeAdapter(Generator),
    "fidelity": TypeAdapter(Fidelity),
    "sampling": TypeAdapter(Sampling),
}
SECTIONS = {
    "weights": TypeAdapter(Weights),
    "conditions": TypeAdapter(Condition),
    "morphology": TypeAdapter(Morphology),
}


def examples(page):
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"```(yaml(?:-split)?)\n(.*?)```", text, re.DOTALL)


BLOCKS = examples("datasets.md")


@pytest.mark.parametrize(
    ("kind", "text"), BLOCKS, ids=[next(iter(yaml.safe_load(t))) for _, t in BLOCKS]
)
def test_examples_of_datasets_are_valid(kind, text):
    for content in yaml.safe_load(text).values():
        if kind == "yaml":
            TypeAdapter(Dataset).validate_python(content)
        else:
            Split.model_validate(content)


def test_there_are_examples_of_every_published_source():
    sources = {next(iter(yaml.safe_load(text).values())).get("source") for _, text in BLOCKS}
    assert {"sheet", "rxrx1", "bbbc021", "gallery"} <= sources


@pytest.mark.parametrize("page", ["conditions.md", "fidelity.md", "morphology.md", "sampling.md"])
def test_examples_of_sections_are_valid(page):
    checked = 0
    for _, text in examples(page):
        for section, entries in yaml.safe_load(text).items():
            for entry in entries.values():
                if section == "experiments":
                    for part, content in entry.items():
                        PARTS[part].validate_python(content)
                else:
                    SECTIONS[section].validate_python(entry)
                checked += 1
    assert checked


def test_there_are_examples_of_every_kind_of_condition():
    kinds = {
        entry["kind"]
        for _, text in examples("conditions.md")
        for entry in yaml.safe_load(text).get("conditions", {}).values()
    }
    assert kinds == {"constant", "scgpt", "rdkit", "morgan", "table", "random"}
