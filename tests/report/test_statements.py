from dataclasses import replace

import pandas as pd
import pytest

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.evidence import read_evidence
from morphpipe.report.findings.statements import caveats, key_numbers, reading, what_was_made
from morphpipe.report.section import sampling_of
from morphpipe.report.tables import number

from .conftest import configuration_of


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


@pytest.fixture(scope="module")
def summary(evidence):
    return over_seeds(evidence.metrics)


def said(configuration, evidence, summary, **changes):
    experiment = configuration.experiments["small"]
    return " ".join(
        caveats(configuration, replace(evidence, experiment=experiment, **changes), summary)
    )


def test_what_was_made_counts_what_is_there(evidence):
    text = what_was_made(evidence)
    assert "trained for 600 steps on 60 fields" in text
    assert "generated 240 images" in text
    assert "30 real fields of the same conditions, held out" in text


def test_real_fields_of_conditions_that_were_not_generated_are_not_counted(evidence):
    here = evidence.generated[0].keys()
    cell_type, perturbation = here.loc[0, ["cell_type", "perturbation"]]
    chosen = here[(here["cell_type"] == cell_type) & (here["perturbation"] == perturbation)]
    one = replace(evidence, generated=(evidence.generated[0].select(set(chosen["field_id"])),))
    held_out = evidence.test_fields.keys()
    alike = (held_out["cell_type"] == cell_type) & (held_out["perturbation"] == perturbation)
    assert 0 < alike.sum() < len(held_out)
    assert f"{alike.sum()} real fields of the same condition, held out" in what_was_made(one)


def test_caveats_of_the_small_run(evidence, summary, inputs):
    text = said(inputs.configuration, evidence, summary)
    for part in (
        "The images are simulated", "are not FID or KID", "aligner was also used for alignment",
        "3 to 12 images per set; MorphGen uses 500", "not stabilityai/sd-vae-ft-mse as in",
        "600 steps of 16 images", "There is 1 training seed", "inflated by the sampling noise",
        "subsets of 100 images", "1 of 121 fields was excluded",
    ):  # fmt: skip
        assert part in text
    assert "can only be overfitted" not in text
    assert "guidance" not in text


def test_fields_on_all_sides_support_no_claim(evidence, summary, inputs):
    ids = evidence.real.field_ids[:5]
    split = pd.DataFrame(
        [(i, side) for i in ids for side in ("train", "encoder", "test")],
        columns=["field_id", "split"],
    )
    few = replace(evidence, real=evidence.real.select(ids), split=split)
    text = said(inputs.configuration, few, summary)
    assert "5 fields can only be overfitted" in text
    assert "supports no claim" in text
    assert "also used in training" in what_was_made(few)


def test_caveats_follow_the_configuration(evidence, summary):
    configuration = configuration_of(
        training={"steps": 400_000, "slices": 8},
        sampling={"guidance": {"scale": 2.0}, "per_condition": 12},
        generator={"kind": "sit", "architecture": "SiT-XL/2"},
    )
    text = said(configuration, evidence, summary, trainings=evidence.trainings * 3)
    assert "appendix B" not in text
    assert "training seed" not in text
    assert "guidance of scale 2" in text
    assert "used for alignment" not in text


def test_sampling_is_told_with_its_cost():
    def said(**sampling):
        training = {"steps": 8, "slices": 8}
        (experiment,) = configuration_of(training=training, sampling=sampling).experiments.values()
        return sampling_of(experiment)

    usual = said()
    assert usual.startswith("adams2, 12 steps, 12 network evaluations per image")
    assert "guidance 1 (off)" in usual
    other = said(
        sampler="heun",
        steps=4,
        grid="edm",
        last_correction=True,
        guidance={"scale": 1.5, "high": 0.5, "guide": 6},
    )
    # Heun's 8, and the guide's inside: at 0.32 and 0.002 twice each, and at 0.
    assert "grid edm, last step corrected, 13 network evaluations" in other
    assert "guidance 1.5 by the checkpoint of slice 6 from time 0 to 0.5" in other


def test_key_numbers_give_reasons_where_there_is_no_value(evidence, summary):
    empty = summary[summary["metric"] == "macro_f1"]
    numbers = key_numbers(evidence, empty, extractor="judge", view="all")
    assert [n.value for n in numbers] == ["no value"] * 3 + ["240"]
    assert all(n.note for n in numbers)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.1, 1.9, "further from real images than"),
        (1.1, float("nan"), "further from real images than"),
        (0.8, 1.3, "not significantly further"),
        (0.5, 0.9, "copies or too little variation"),
    ],
)
def test_reading_follows_the_interval(evidence, summary, low, high, words):
    changed = summary.copy()
    mask = changed["metric"] == "relative_frechet_distance"
    changed.loc[mask, ["ci_low", "ci_high"]] = low, high
    assert words in reading(evidence, changed, extractor="judge", view="all")[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (1234.5, "1,234"), (12.345, "12.3"), (1.2345, "1.23"), (0.012345, "0.0123"),
     (-0.8, "-0.800"), (0.0001234, "1.23e-04"), (float("nan"), "–"), (999.6, "1,000")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert number(value) == text
