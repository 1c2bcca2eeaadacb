import shutil
from dataclasses import replace

import pytest

from morphpipe.core.errors import DataError
from morphpipe.report.evidence import read_evidence, read_training

from .conftest import CELL_TYPES, PERTURBATIONS


def test_order_is_the_configured_one(inputs):
    evidence = read_evidence(inputs.experiments[0], inputs.configuration)
    assert tuple(evidence.cell_types) == CELL_TYPES
    assert tuple(evidence.perturbations) == PERTURBATIONS


def test_points_are_held_out_and_generated_images_once(inputs):
    evidence = read_evidence(inputs.experiments[0], inputs.configuration)
    counts = evidence.points.keys["origin"].value_counts()
    assert counts.to_dict() == {"generated": 240, "real": len(evidence.test_ids)}
    assert not evidence.points.keys["field_id"].duplicated().any()


def test_unknown_perturbation_has_no_true_effect(hostile_inputs):
    evidence = read_evidence(hostile_inputs.experiments[0], hostile_inputs.configuration)
    assert set(evidence.true_effects("all")) == set(PERTURBATIONS) - {"inert"}


@pytest.mark.parametrize("missing", ["log.csv", "state.json"])
def test_incomplete_checkpoint_is_an_error(inputs, tmp_path, missing):
    folder = tmp_path / "checkpoint"
    shutil.copytree(inputs.experiments[0].checkpoints[0], folder)
    (folder / missing).unlink()
    with pytest.raises(DataError, match=missing):
        read_training(folder)


def test_features_of_other_images_are_not_mixed_in(inputs):
    files = inputs.experiments[0]
    with pytest.raises(DataError, match="metric"):
        read_evidence(replace(files, metrics=()), inputs.configuration)
    without = replace(files, generated_features=())
    assert read_evidence(without, inputs.configuration).points is None


def test_quarantine_without_reasons_is_an_error(inputs):
    files = replace(inputs.experiments[0], quarantine=inputs.experiments[0].split)
    with pytest.raises(DataError, match="lacks the column reason"):
        read_evidence(files, inputs.configuration)


def test_a_named_subset_of_perturbations_is_no_list(inputs):
    evidence = read_evidence(inputs.experiments[0], inputs.configuration)
    dataset = evidence.dataset.model_copy(update={"perturbations": "morphodiff"})
    evidence = replace(evidence, dataset=dataset)
    assert evidence.perturbations == ["control", *sorted(PERTURBATIONS[1:])]


def test_own_plates_have_no_configured_cell_types(own_inputs):
    evidence = read_evidence(own_inputs.experiments[0], own_inputs.configuration)
    assert evidence.cell_types == ["HeLa"]
    assert evidence.perturbations == ["nocodazole", "taxol"]
    assert evidence.negative_controls == frozenset()
    assert len(evidence.leakage) == 1
