from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures.captions import experiment_plots
from morphpipe.report.figures.drawing import inline_svg
from morphpipe.report.figures.pictures import SampleRow, Tile
from morphpipe.report.figures.plots import figure_pca, figure_samples

from .conftest import SCRIPT

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plots(hostile_inputs):
    evidence = read_evidence(hostile_inputs.experiments[0], hostile_inputs.configuration)
    return experiment_plots(hostile_inputs.configuration, evidence)


def test_every_topic_has_its_plots(plots):
    assert {topic: len(found) for topic, found in plots.items()} == {
        "distances": 4, "effects": 2, "probes": 2, "pca": 1, "quality": 1,
        "training": 1,
    }  # fmt: skip
    in_sight = [p.name for p in plots["distances"] if not p.collapsed]
    # The first of a topic is what is written as a single file.
    assert plots["effects"][0].name == "effects-judge"
    assert in_sight == ["frechet-judge"]
    for found in plots.values():
        for plot in found:
            assert plot.caption
            assert ("†" in plot.alternative) == ("aligner" in plot.alternative)


def test_svg_is_whole_and_its_text_is_text(plots):
    svg = inline_svg(plots["effects"][0].figure, "one")
    tree = ElementTree.fromstring(svg)
    words = ["".join(e.itertext()) for e in tree.iter(f"{SVG}text")]
    assert SCRIPT in words
    assert {e.tag for e in tree.iter()}.isdisjoint({f"{SVG}script", f"{SVG}metadata"})
    assert "currentColor" in svg


def test_figures_keep_their_ids_apart(plots):
    def ids(name):
        tree = ElementTree.fromstring(inline_svg(plots["pca"][0].figure, name))
        return {e.get("id") for e in tree.iter() if e.get("id")}

    assert ids("one")
    assert ids("one").isdisjoint(ids("two"))


def test_too_few_real_images_are_said_not_drawn(hostile_inputs):
    evidence = read_evidence(hostile_inputs.experiments[0], hostile_inputs.configuration)
    few = evidence.points.keys["origin"] == "generated"
    points = replace(
        evidence.points, keys=evidence.points.keys[few], features=evidence.points.features[few]
    )
    changed = replace(evidence, points=points)
    (plot,) = experiment_plots(hostile_inputs.configuration, changed)["pca"]
    assert "0 real images are too few" in plot.alternative
    assert "0 real images are too few" in inline_svg(plot.figure, "pca")


def test_sheets_have_a_picture_for_each_tile():
    tile = Tile("f", np.zeros((8, 8, 3), np.uint8))
    samples = figure_samples([SampleRow("a", "b", (tile,) * 2, (tile,) * 3)])
    assert sum(len(axes.images) for axes in samples.axes) == 5


def test_many_perturbations_are_counted_not_hidden(plots):
    points = pd.DataFrame(
        {"cell_type": "a", "origin": "real", "first": 0.0, "second": 1.0,
         "perturbation": [f"p{i}" for i in range(12)]}
    )  # fmt: skip
    figure = figure_pca(points, (0.5, 0.2))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "5 others" in labels
