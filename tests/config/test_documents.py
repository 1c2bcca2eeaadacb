import json
from pathlib import Path

import pytest
import yaml

from morphpipe.config.configuration import Configuration, Paths
from morphpipe.config.datasets import RxRx1Dataset, SimulatedDataset
from morphpipe.config.documents import REQUIRED, reference, schema, write
from morphpipe.config.experiments import Training
from morphpipe.config.networks import TrainedAutoencoder
from morphpipe.config.sampling import Sampling

CONFIG = Path(__file__).resolve().parents[2] / "config"


def test_committed_documents_are_fresh():
    advice = "stale: run `python -m morphpipe.config.documents` and commit what it writes"
    assert json.loads((CONFIG / "schema.json").read_text("utf-8")) == schema(), advice
    assert (CONFIG / "reference.yaml").read_text("utf-8") == reference(), advice


def test_written_documents_are_these(tmp_path):
    write(tmp_path)
    for name in ("schema.json", "reference.yaml"):
        assert (tmp_path / name).read_text("utf-8") == (CONFIG / name).read_text("utf-8")


@pytest.fixture(scope="module")
def content():
    return yaml.safe_load(reference())


@pytest.mark.parametrize(
    ("section", "model", "required"),
    [
        (("paths",), Paths, {}),
        (("datasets", "<simulated>"), SimulatedDataset, {}),
        (("datasets", "<rxrx1>"), RxRx1Dataset, {}),
        (("autoencoders", "<trained>"), TrainedAutoencoder, {"split": "s"}),
        (("experiments", "<experiment>", "training"), Training, {}),
        (("experiments", "<experiment>", "sampling"), Sampling, {}),
    ],
)
def test_values_are_the_defaults(content, section, model, required):
    part = content
    for key in section:
        part = part[key]
    assert {key for key, value in part.items() if value == REQUIRED} == set(required)
    constants = {key: part[key] for key in ("source", "origin") if key in part}
    assert model.model_validate(part | required) == model.model_validate(constants | required)


def test_every_key_and_description_of_the_schema_stands_in_the_reference():
    text = " ".join(line.strip().removeprefix("# ") for line in reference().splitlines())
    plain = " ".join(text.replace("# ", "").split())
    for definition in [schema(), *schema()["$defs"].values()]:
        for name, node in definition.get("properties", {}).items():
            assert f"{name}:" in plain
            assert " ".join(node.get("description", "").split()) in plain


def test_editors_can_use_the_schema():
    content = schema()
    assert content["additionalProperties"] is False
    assert set(content["properties"]) == set(Configuration.model_fields)
    assert content["$defs"]["Training"]["properties"]["steps"]["default"] == 400_000
