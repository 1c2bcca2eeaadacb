import pandas as pd
import pytest

from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.measure_tables import measure_tables, role
from morphpipe.report.measures import SHOWN, measure_points


@pytest.fixture(scope="module")
def measures(content):
    return {name: over_seeds(f) for name, f in content.sections[0].evidence.measures.items()}


def texts(made):
    return [head.text for head in made.headers]


@pytest.mark.parametrize(
    ("comparison", "found"),
    [
        ("generated-real@floor-n", "generated"), ("generated-training", "generated"),
        ("real-real", "floor"), ("real-training", "floor"), ("copy-real", "copy"),
        ("shuffled-real", "shuffled"), ("control@across-batches", ""), ("", ""),
    ],
)  # fmt: skip
def test_roles(comparison, found):
    assert role(comparison) == found


def test_generated_comes_first_and_floor_beside_it(measures):
    (made,) = measure_tables(measures["manifold"], "x", str)
    assert texts(made) == [
        "metric", "encoder", "cell type", "generated", "real vs real",
        "copies of training images", "shuffled", "images",
    ]  # fmt: skip
    assert [row[0].text for row in made.rows[:4]] == ["precision"] * 3 + ["recall"]
    assert made.rows[0][3].value == 0.6


def test_corrections_and_other_perturbations_are_rows_of_their_own(measures):
    (made,) = measure_tables(measures["batches"], "x", str, variant="correction of features")
    assert "correction of features" in texts(made)
    assert [row[2].text for row in made.rows] == ["none", "tvn"]
    assert made.rows[0][-2].note.endswith("chance 0.200")
    (cross,) = measure_tables(
        measures["cross_perturbation"], "x", str, variant="other perturbation"
    )
    assert len(cross.rows) == 4


def test_metrics_that_are_compared_otherwise_have_another_table(measures):
    rows = pd.concat([measures["batches"], measures["retrieval"]])
    assert len(measure_tables(rows, "x", str)) == 2
    same_number = measures["manifold"].replace("generated-real", "generated-real@floor-n")
    (made,) = measure_tables(pd.concat([measures["manifold"], same_number]), "x", str)
    assert texts(made).count("generated") == 1


def test_reasons_take_the_place_of_values(measures):
    (made,) = measure_tables(measures["variance"], "x", str)
    cells = dict(zip(texts(made), made.rows[0], strict=True))
    assert cells["generated"].kind == "absent"
    assert cells["generated"].text == "too few images"


def test_points_are_of_one_encoder_with_what_is_expected_as_the_floor(measures):
    points = measure_points(measures["memorisation"], "judge", "all")
    share = points[points["metric"] == "memorised_share"].set_index("role")["value"]
    assert share.to_dict() == {"generated": 0.02, "copy": 1.0, "floor": 0.01}
    assert measure_points(measures["memorisation"], "other", "all").empty


def test_measures_are_named_once():
    assert len({measure.name for measure in SHOWN}) == len(SHOWN)
