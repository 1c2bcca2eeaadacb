"""Treatment effects of many perturbations, a point each."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures.captions import experiment_plots
from morphpipe.report.figures.effects_scatter import (
    MOST_LINES,
    figure_effects_scatter,
    paired_effects,
)


def effects(number, *, seed=0):
    random = np.random.default_rng(seed)
    rows = [
        ("cate", cell_type, f"p{i}", side, random.gamma(2.0))
        for cell_type in ("HUVEC", "RPE")
        for i in range(number)
        for side in ("real", "generated")
    ]
    rows.append(("cate", "HUVEC", "all", "real-control-floor", 0.5))
    columns = ["metric", "cell_type", "perturbation", "comparison", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_pairs_are_of_what_has_both():
    table = effects(3)
    table.loc[table["perturbation"] == "p1", "value"] = np.nan
    one_sided = (table["perturbation"] == "p2") & (table["comparison"] == "generated")
    pairs = paired_effects(table[~one_sided])
    assert set(pairs["perturbation"]) == {"p0"}
    expected = table[(table["perturbation"] == "p0") & (table["cell_type"] == "RPE")]
    found = pairs[pairs["cell_type"] == "RPE"].iloc[0]
    assert [found["real"], found["generated"]] == expected["value"].tolist()


def test_each_perturbation_is_a_point_and_the_line_is_equality():
    table = effects(100)
    figure = figure_effects_scatter(table)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["HUVEC", "RPE"]
    for axes, cell_type in zip(figure.axes, ("HUVEC", "RPE"), strict=True):
        line, points = axes.lines
        np.testing.assert_array_equal(*line.get_data())
        here = table[(table["cell_type"] == cell_type) & (table["perturbation"] != "all")]
        wanted = here.pivot_table(index="perturbation", columns="comparison", values="value")
        drawn = sorted(zip(*points.get_data(), strict=True))
        assert drawn == sorted(zip(wanted["real"], wanted["generated"], strict=True))
        strongest = set(wanted["real"].nlargest(3).index)
        assert {text.get_text() for text in axes.texts} == strongest
    # The floor is known for one of them.
    assert [len(axes.patches) for axes in figure.axes] == [1, 0]


@pytest.fixture(scope="module")
def plot_of(hostile_inputs):
    """The first plot of effects, of as many perturbations and of these sides."""
    evidence = read_evidence(hostile_inputs.experiments[0], hostile_inputs.configuration)
    metrics = evidence.metrics

    def plot(number, sides=("real", "generated")):
        one = metrics[(metrics["metric"] == "cate") & metrics["comparison"].isin(sides)]
        one = one[one["perturbation"] == one["perturbation"].iloc[0]]
        others = metrics.drop(metrics.index[metrics["metric"] == "cate"])
        many = [one.assign(perturbation=f"p{i}") for i in range(number)]
        changed = replace(evidence, metrics=pd.concat([others, *many], ignore_index=True))
        return experiment_plots(hostile_inputs.configuration, changed)["effects"][0]

    return plot


@pytest.mark.parametrize("more", [0, 1])
def test_many_perturbations_are_points_few_are_lines(plot_of, more):
    plot = plot_of(MOST_LINES + more)
    assert (f"one of the {MOST_LINES + 1} perturbations" in plot.caption) == bool(more)
    assert (plot.figure.get_figheight() < 12) == bool(more)
    assert "others have one" not in plot.caption


def test_many_perturbations_of_one_side_are_said_not_drawn(plot_of):
    plot = plot_of(MOST_LINES + 1, sides=("generated",))
    assert f"None of the {MOST_LINES + 1} perturbations has a real and a generated" in plot.caption
    assert plot.figure.get_figheight() < 2
