import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.findings.checks import trust
from morphpipe.report.findings.key_figures import Beside, KeyFigure, conditions_followed


def test_places_on_the_line_keep_order_and_stay_on_it():
    figure = KeyFigure("q", "r", 2.0, 1.0, math.inf, (Beside("floor", "f", 1.0),), "×")
    places = [figure.place(value) for value in (0.0, 1.0, 2.0, 99.0)]
    assert places == [0.0, 50.0, 100.0, 100.0]
    assert figure.interval == "1.00× or more"
    assert KeyFigure("q", "r", 0.0).place(0.0) == 50.0
    # A negative correlation is left of none.
    assert KeyFigure("q", "r", -0.5, beside=(Beside("shuffled", "no order", 0.0),)).place(0) == 100


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.5, "per cent", "50 %"),
        (0.012, "per cent", "1.20 %"),
        (1.234, "×", "1.23×"),
        (2, "", "2.00"),
    ],
)
def test_units(value, unit, shown):
    assert KeyFigure("q", "r", unit=unit).shown(value) == shown


def test_ten_numbers_with_floor_and_controls(content):
    figures = content.sections[0].key_figures
    assert len(figures) == 10
    assert len({figure.question for figure in figures}) == 10
    by = {figure.question: figure for figure in figures}
    batch = by["Do generated images help on unseen batches?"]
    # Uncorrected features: of the corrected ones the table tells.
    assert batch.value == 0.55
    assert [(b.role, b.value) for b in batch.beside] == [("floor", 0.5), ("shuffled", 0.2)]
    copies = by["How many are copies of a training image?"]
    assert [(b.role, b.value) for b in copies.beside] == [("floor", 0.01), ("copy", 1.0)]
    assert all(figure.beside for figure in figures if figure.is_known)
    assert all(figure.reason for figure in figures if not figure.is_known)


def test_conditions_are_followed_where_own_images_are_closer(content):
    evidence = content.sections[0].evidence
    rows = over_seeds(evidence.metrics)
    frame = rows[(rows["metric"] == "frechet_distance") & (rows["perturbation"] != "all")]
    frame = frame[(frame["extractor"] == "judge") & (frame["view"] == "all")]
    chosen = frame[frame["cell_type"] != "all"].drop_duplicates(["cell_type", "perturbation"])
    own = chosen.assign(comparison="generated-real@floor-n", value=np.arange(len(chosen)))
    other = chosen.assign(comparison="shuffled-real", value=2.5)
    assert conditions_followed(pd.concat([own, other])) == (3, len(chosen))
    assert conditions_followed(own) == (0, 0)


def test_checks_fail_where_they_have_to(content):
    section = content.sections[0]
    evidence, configuration = section.evidence, content.configuration

    def verdicts(of, extractor="judge"):
        found = trust(configuration, of, over_seeds(of.metrics), extractor=extractor, view="all")
        return {check.text: check.holds for check in found}

    found = verdicts(evidence)
    assert found["Copies of training images are detected"] is True
    assert found["The generated images are not copies"] is False
    assert found["The encoder was not used in training"] is True
    assert verdicts(evidence, "aligner")["The encoder was not used in training"] is False
    also_trained = pd.concat([evidence.split, evidence.split.assign(split="train")])
    leaky = replace(evidence, split=also_trained)
    assert verdicts(leaky)["No test image was used in training"] is False
    bare = replace(evidence, measures={}, metrics=evidence.metrics.iloc[:0])
    found = verdicts(bare)
    for text in ("Copies of training images are detected", "The generated images are not copies"):
        assert found[text] is None
    few = evidence.measures["memorisation"]
    calm = few.assign(notes=[notes | {"flagged": False} for notes in few["notes"]])
    calm = replace(evidence, measures={"memorisation": calm})
    found = verdicts(calm)
    assert found["The generated images are not copies"] is True
    # A test that does not flag replayed training images shows nothing.
    assert found["Copies of training images are detected"] is False
