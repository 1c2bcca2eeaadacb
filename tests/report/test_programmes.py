import numpy as np
import pandas as pd
import pytest

from morphpipe.datasets.simulated import PERTURBATIONS, true_effect
from morphpipe.datasets.simulated.programmes import programmes
from morphpipe.report.figures.captions import _truth_caption
from morphpipe.report.figures.effects import figure_effects

NAMES = ("control", "inert", "graded-high", "nuclear-swelling", "graded-low", "graded-mid")


def test_strengths_of_one_change_are_a_series():
    found = programmes(NAMES)
    assert [(p.name, p.members) for p in found] == [
        ("graded", ("graded-low", "graded-mid", "graded-high")),
        ("nuclear-swelling", ("nuclear-swelling",)),
    ]
    assert [p.is_series for p in found] == [True, False]


def test_every_perturbation_with_an_effect_is_in_one_programme():
    members = [name for p in programmes([*PERTURBATIONS, "unknown"]) for name in p.members]
    assert sorted(members) == sorted(n for n, p in PERTURBATIONS.items() if p.shifts)


@pytest.fixture(scope="module")
def figure():
    names = [name for name in NAMES if name != "control"]
    real = dict(zip(names, (0.1, 8.0, 30.0, 1.0, 4.0), strict=True))
    rows = [
        {"metric": "cate", "comparison": side, "cell_type": "epithelial", "perturbation": name,
         "value": value, "ci_low": np.nan, "ci_high": np.nan}
        for side in ("real", "generated") for name, value in real.items()
    ]  # fmt: skip
    truth = {"epithelial": {name: true_effect(name, "epithelial") for name in names}}
    return figure_effects(pd.DataFrame(rows), truth, programmes(names))


def test_truth_is_scaled_within_a_series_and_not_drawn_elsewhere(figure):
    (axes,) = figure.axes
    labels = dict(zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()),
                      strict=True))  # fmt: skip
    (diamonds,) = [line for line in axes.lines if line.get_marker() == "d"]
    drawn = {labels[y]: x for x, y in zip(*diamonds.get_data(), strict=True)}
    assert set(drawn) == {"inert", "graded-low", "graded-mid", "graded-high"}
    assert drawn["inert"] == 0
    # The strengths are 1/3, 2/3 and 1, effects are squares; the largest real effect is 8.
    expected = {"graded-low": 8 / 9, "graded-mid": 32 / 9, "graded-high": 8.0}
    assert {n: drawn[n] for n in expected} == pytest.approx(expected)


def test_programmes_stand_apart(figure):
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "inert", "graded-low", "graded-mid", "graded-high", "nuclear-swelling",
    ]  # fmt: skip
    ticks = np.diff(axes.get_yticks())
    assert (ticks > 1.2).tolist() == [True, False, False, True]


def test_caption_says_what_does_not_compare():
    text = _truth_caption(programmes(NAMES))
    assert "graded: graded-low, graded-mid, graded-high" in text
    assert "nuclear-swelling: no diamond" in text


def test_only_one_series_and_no_effect_are_ranked_against_the_truth():
    from types import SimpleNamespace

    from morphpipe.evaluation.effects.rows import true_effects_of

    keys = pd.DataFrame(
        [(cell, name) for cell in ("epithelial", "fibroblast") for name in NAMES],
        columns=["cell_type", "perturbation"],
    )
    ranked = true_effects_of(SimpleNamespace(keys=keys))
    assert set(ranked) == {"control", "inert", "graded-low", "graded-mid", "graded-high"}
    assert ranked["inert"] == 0 < ranked["graded-low"] < ranked["graded-high"]
