"""What jobs are given beside files: what changes it repeats them."""

import shlex

from morphpipe.config import parse_configuration
from morphpipe.plan.params import (
    evaluation_params,
    measure_options,
    measured_by,
    options,
    training_devices,
    training_params,
    training_settings,
)
from morphpipe.plan.paths import Plan


def test_options_survive_the_shell():
    files = ["a b/$c.parquet", "it's.parquet"]
    expected = ["--moments", files[0], "--moments", files[1]]
    assert shlex.split(options("--moments", files)) == expected
    assert options("--scaling-factor", 0.18215) == "--scaling-factor 0.18215"
    assert options("--guide", []) == options("--scaling-factor", None) == ""


def test_training_is_not_repeated_for_devices(plan, content):
    content["experiments"]["siRNAs"]["training"]["devices"] = 2
    other = Plan(parse_configuration(content))
    assert training_params(plan, "siRNAs", 0) == training_params(other, "siRNAs", 0)
    assert training_settings(plan, "siRNAs", 0) != training_settings(other, "siRNAs", 0)


def test_several_nodes_have_gpus_by_node(plan):
    training = plan.configuration.experiments["siRNAs"].training
    assert training_devices(training) == {
        "gpu": 1, "gres": None, "mpi": None, "tasks": None, "tasks_per_gpu": None,
    }  # fmt: skip
    assert training_devices(training.model_copy(update={"devices": 4, "nodes": 2})) == {
        "gpu": None, "gres": "gpu:4", "mpi": "srun", "tasks": 2, "tasks_per_gpu": 0,
    }  # fmt: skip


def test_measure_depends_on_the_settings_that_it_reads(plan):
    params = evaluation_params(plan, "two", "effects")
    assert set(params["evaluation"]) == {"encoders", "units", "floor_repeats", "seed"}
    assert list(params["real"]) == list(params["generated"]) == ["tokens"]
    assert params["source"] == "simulated"


def test_cells_are_not_measured_again_for_the_size_of_batches(plan, tmp_path):
    (tmp_path / "a.cppipe").write_text("pipeline")
    settings = plan.configuration.morphology["cells"].model_copy(
        update={"pipeline": str(tmp_path / "a.cppipe")}
    )
    other = settings.model_copy(update={"batch_size": 3})
    assert measured_by(settings) == measured_by(other)
    assert "--channel=Nuclei=the DNA" in shlex.split(measure_options(settings))
    assert measure_options(other).endswith(" --batch-size=3")
    (tmp_path / "a.cppipe").write_text("another")
    assert measured_by(settings) != measured_by(other.model_copy(update={"pipeline": __file__}))
