"""MorphoDiff and its baseline side by side on a simulated screen, as a user runs them."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from diffusers.models import UNet2DConditionModel
from typer.testing import CliRunner

from morphpipe.cli import app
from morphpipe.perturbations.condition_table import ConditionTable
from morphpipe.tables.archive import read_fields

EXPERIMENTS = Path("results/experiments")
# By name: `all` makes more than is looked at here.
REPORT = "results/report/index.html"


@pytest.fixture(scope="module")
def pair(new_workflow):
    """Both experiments, from the beginning to the report."""
    content = yaml.safe_load((Path(__file__).parent / "morphodiff.yaml").read_text())
    workflow = new_workflow("morphodiff", content)
    workflow.run("--", REPORT)
    return workflow


def table(workflow, path) -> pd.DataFrame:
    return pq.read_table(workflow.folder / "results" / path).to_pandas()


def test_perturbation_that_training_never_saw_is_generated_and_marked(pair):
    split = table(pair, "splits/screen.parquet").set_index("field_id")["split"]
    fields = read_fields(pair.folder / "results/datasets/screen/fields.parquet").keys()
    unseen = fields[fields["perturbation"] == "graded-high"]["field_id"]
    assert set(split[unseen]) == {"test"}
    samples = read_fields(
        pair.folder / EXPERIMENTS / "model/samples/training-0_sampling-0/shard-0.zip"
    )
    counts = samples.keys()["perturbation"].value_counts()
    assert counts.to_dict() == {p: 8 for p in ("control", "inert", "graded-low", "graded-high")}
    distances = table(pair, "experiments/model/metrics/distances.parquet")
    groups = set(distances["group"].dropna())
    assert {"distribution: in", "distribution: out"} <= groups


def test_comparison_tests_the_difference_over_perturbations(pair):
    tests = table(pair, "comparisons/pair/tests.parquet")
    row = tests[(tests["metric"] == "frechet_distance") & (tests["group"] == "all")].iloc[0]
    assert (row["model"], row["baseline"], row["perturbations"]) == ("model", "baseline", 4)
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert row["smallest_difference"] > 0
    values = {
        name: table(pair, f"experiments/{name}/metrics/distances.parquet")
        for name in ("model", "baseline")
    }
    for name, found in values.items():
        here = found[
            (found["metric"] == "frechet_distance")
            & (found["comparison"] == row["comparison"])
            & (found["cell_type"] == "all")
            & (found["view"] == row["view"])
            & ~found["perturbation"].isin(["all"])
            & found["group"].isna()
        ]
        assert here["value"].mean() == pytest.approx(row[f"mean_{name}"])


def test_cohorts_are_ranked(pair):
    ranks = table(pair, "experiments/model/metrics/ranking.parquet")
    assert set(ranks["perturbation"]) == {"control", "inert", "graded-low", "graded-high"}
    ranked = ranks[ranks["rank"].notna()]
    assert ranked["rank"].between(1, 4).all()


def test_conditions_travel_with_the_checkpoint(pair):
    checkpoint = pair.folder / EXPERIMENTS / "model/training/seed-0/slice-0"
    conditions = ConditionTable.read(checkpoint / "conditions.parquet")
    assert conditions.width == 8
    assert "graded-high" in conditions.concentrations()


def test_checkpoint_is_written_in_diffusers_layout(pair, tmp_path):
    checkpoint = pair.folder / EXPERIMENTS / "model/training/seed-0/slice-0"
    output = tmp_path / "exported"
    done = CliRunner().invoke(app, ["export", str(checkpoint), "--output", str(output)])
    assert done.exit_code == 0, done.output
    network = UNet2DConditionModel.from_pretrained(output / "unet", local_files_only=True)
    assert network.config["cross_attention_dim"] == 768


def test_exported_unet_is_sampled_from_as_others_checkpoints_are(pair, tmp_path):
    checkpoint = pair.folder / EXPERIMENTS / "model/training/seed-0/slice-0"
    output, wanted = tmp_path / "exported", tmp_path / "wanted.csv"
    runner = CliRunner()
    runner.invoke(app, ["export", str(checkpoint), "--output", str(output)])
    wanted.write_text("cell_type,perturbation,images\nepithelial,graded-low,2\n")
    arguments = [
        "generate", str(wanted), "--checkpoint", str(output), "--size", "64", "--steps", "2",
        "--autoencoder", str(pair.folder / "results/autoencoders/colour"),
        "--output", str(tmp_path / "made.zip"),
    ]  # fmt: skip
    without = runner.invoke(app, arguments)
    assert "morphpipe conditions" in str(without.exception)
    table_of = str(checkpoint / "conditions.parquet")
    done = runner.invoke(app, [*arguments, "--embeddings", table_of])
    assert done.exit_code == 0, done.output
    assert len(read_fields(tmp_path / "made.zip")) == 2


def test_report_says_what_came_out(pair):
    page = (pair.folder / "results/report.html").read_text()
    assert "paired t-test" in page
    assert "the smallest detectable difference is" in page


def test_second_run_does_nothing(pair):
    assert pair.scheduled("--", REPORT) == {}
