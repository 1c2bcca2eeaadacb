"""A run in the smallest size: facts of one experiment, and metric tables with known numbers."""

from dataclasses import replace

import pytest

from morphpipe.config.papers import Papers
from morphpipe.evaluation.core.summary import prepare
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.measured import Metrics
from morphpipe.report.papers.run import PaperRun
from morphpipe.tables.metric_table import metric_row, metric_table

PAPER = ExperimentFacts(
    name="full", dataset="rxrx1", source="rxrx1", project=None, selection={},
    fractions={"train": 0.5, "test": 0.5}, image_mode="channels", network="SiT-XL/2",
    starting_weights=None, condition=None, aligned_with="openphenom",
    autoencoder="hf://stabilityai/sd-vae-ft-mse", autoencoder_name="vae", steps=400_000,
    batch_size=16, learning_rate=1e-4, training_seeds=[0], sampling_seeds=[0, 1, 2],
    sampler="euler-maruyama",
    sampling_steps=50, guidance=1.0, per_condition=500, perturbations=["1138"], drawn=2,
    encoders={
        "inception": {"kind": "inception", "weights": "file:i", "view": "rgb"},
        "openphenom": {"kind": "openphenom", "weights": "file:o", "view": "all"},
    },
    morphology=None, crops=None, minimum_images=16, subset_size=100,
)  # fmt: skip
SIMULATED = replace(
    PAPER, name="small", dataset="screen", source="simulated", network="SiT-Na/1",
    autoencoder="file:weights/small", steps=100, perturbations=None, drawn=None,
    selection={"cell_types": ["epithelial"]},
    encoders={"resnet18": {"kind": "resnet18", "weights": "trained here", "view": "all"}},
)  # fmt: skip


@pytest.fixture
def paper_facts():
    """An experiment set up as the paper's."""
    return PAPER


@pytest.fixture
def simulated_facts():
    """An experiment on a simulated screen."""
    return SIMULATED


@pytest.fixture
def make_run():
    """Make a run of `{role: facts}` and `{experiment: {table: rows}}`."""

    def make(roles, tables, **papers):
        content = {"morphgen": {role: facts.name for role, facts in roles.items()} | papers}
        run = PaperRun(
            Papers.model_validate(content), {facts.name: facts for facts in roles.values()}
        )
        for name, rows in tables.items():
            frames = {
                table: prepare(metric_table(part).to_pandas()) for table, part in rows.items()
            }
            run._metrics[name] = Metrics(frames)
        return run

    return make


@pytest.fixture
def make_metric():
    """Make a row of a metric table."""

    def make(metric, value, **columns):
        known = {"cell_type": "all", "perturbation": "all", "training_seed": 0, "sampling_seed": 0}
        context = {"dataset": "d", "experiment": "e", "generator": "g"}
        return metric_row(**context, **known | columns, metric=metric, value=value)

    return make
