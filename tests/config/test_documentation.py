"""What the documentation tells people to write has to be what the models take."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from morphpipe.config.datasets import Dataset
from morphpipe.config.splits import Split

TEXT = (Path(__file__).resolve().parents[2] / "docs/datasets.md").read_text("utf-8")
BLOCKS = re.findall(r"```(yaml(?:-split)?)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(
    ("kind", "text"), BLOCKS, ids=[next(iter(yaml.safe_load(t))) for _, t in BLOCKS]
)
def test_examples_are_valid(kind, text):
    for content in yaml.safe_load(text).values():
        if kind == "yaml":
            TypeAdapter(Dataset).validate_python(content)
        else:
            Split.model_validate(content)


def test_there_are_examples_of_every_published_source():
    sources = {next(iter(yaml.safe_load(text).values())).get("source") for _, text in BLOCKS}
    assert {"sheet", "rxrx1", "bbbc021", "gallery"} <= sources
