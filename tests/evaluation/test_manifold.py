import json

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.spatial.distance import cdist

from morphpipe.core.errors import DataError
from morphpipe.evaluation.coverage.manifold import manifold_scores, neighbour_radii
from morphpipe.evaluation.coverage.rows import manifold_rows
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}


def by_definition(generated, real, k):
    """The four, image by image as the papers define them."""
    within = {
        name: np.sort(cdist(x, x), axis=1)[:, k]
        for name, x in (("generated", generated), ("real", real))
    }
    apart = cdist(generated, real)
    inside_real = [[apart[j, i] <= within["real"][i] for i in range(len(real))]
                   for j in range(len(generated))]  # fmt: skip
    inside_generated = [
        any(apart[j, i] <= within["generated"][j] for j in range(len(generated)))
        for i in range(len(real))
    ]
    return {
        "precision": np.mean([any(row) for row in inside_real]),
        "recall": np.mean(inside_generated),
        "density": np.sum(inside_real) / (k * len(generated)),
        "coverage": np.mean(np.any(inside_real, axis=0)),
    }


def test_scores_follow_their_definitions():
    generator = np.random.default_rng(0)
    generated = generator.standard_normal((31, 3)) * 1.5 + 1
    real = generator.standard_normal((23, 3))
    found = manifold_scores(generated, real, k=4)
    expected = by_definition(generated, real, 4)
    assert {name: score.value for name, score in found.items()} == pytest.approx(expected)
    for name, score in found.items():
        assert score.left.shape == (31,)
        assert score.right.shape == (23,)
        others = score.right if name in ("precision", "density") else score.left
        assert not others.any()
    # Block by block it is the same.
    with sklearn.config_context(working_memory=1e-3):
        again = manifold_scores(generated, real, k=4)
    assert {n: s.value for n, s in again.items()} == {n: s.value for n, s in found.items()}


def test_extremes():
    generator = np.random.default_rng(1)
    real = generator.standard_normal((40, 4))
    same = manifold_scores(real, real)
    assert same["precision"].value == same["recall"].value == same["coverage"].value == 1
    # Every image lies in its own ball and in those of k others on average, some at their edges.
    assert 1 < same["density"].value < 1.21
    far = manifold_scores(real + 100, real)
    assert [score.value for score in far.values()] == [0, 0, 0, 0]
    # One mode of two: precise, but half of the real images are not reached.
    two = np.concatenate([real, real + 50])
    half = manifold_scores(real + 0.01, two)
    assert half["precision"].value == 1
    assert half["recall"].value == half["coverage"].value == 0.5


def test_radii_count_copies_but_not_the_image_itself():
    assert neighbour_radii([[0.0], [0.0], [3.0], [10.0]], 1).tolist() == [0, 0, 3, 7]
    with pytest.raises(DataError, match="more than 4 images, but there are 4"):
        neighbour_radii(np.zeros((4, 2)), 4)


@pytest.fixture(scope="module")
def table(make_features):
    means = {("A", "control"): 0.0, ("A", "far"): 8.0}
    real = make_features(means, seed=0, wells=8, fields_per_well=4)
    training = make_features(means, seed=1, wells=8, fields_per_well=4, batch="b1")
    generated = make_features(means, seed=2, origin="generated", wells=40, fields_per_well=1)
    rows = manifold_rows(
        generated,
        real,
        training,
        context=CONTEXT,
        **settings_of("manifold", neighbours=3, floor_repeats=2),
    )
    return metric_table(rows).to_pandas()


def value_of(table, **columns):
    rows = table
    for name, wanted in columns.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1
    return rows.iloc[0]


def test_rows_of_a_faithful_generator(table):
    for metric in ("precision", "recall", "density", "coverage"):
        of_all = {"metric": metric, "cell_type": "all", "perturbation": "all"}
        floor = value_of(table, comparison="real-real", **of_all)
        for comparison in ("generated-real", "copy-real"):
            row = value_of(table, comparison=comparison, **of_all)
            assert row["n_left"] == row["n_right"] == floor["n_left"] == 32
            assert row["value"] == pytest.approx(floor["value"], abs=0.4)
            assert row["ci_low"] <= row["value"] <= row["ci_high"]
            assert json.loads(row["settings"])["share_matched"] == 1
        shuffled = value_of(
            table, metric=metric, comparison="shuffled-real", cell_type="A", perturbation="far"
        )
        faithful = value_of(
            table, metric=metric, comparison="generated-real", cell_type="A", perturbation="far"
        )
        # Half of the images drawn whatever their label lie far away; the rest still reach all.
        if metric != "recall":
            assert shuffled["value"] < 0.8 * faithful["value"]
    assert table["ci_high"][table["metric"] != "density"].max() <= 1


def test_too_few_images_are_said(make_features):
    means = {("A", "control"): 0.0}
    real = make_features(means, seed=0, wells=4, fields_per_well=2)
    generated = make_features(means, seed=1, origin="generated")
    settings = settings_of("manifold")
    table = metric_table(manifold_rows(generated, real, context=CONTEXT, **settings)).to_pandas()
    assert table["value"].isna().all()
    assert pd.unique(table["settings"].map(lambda s: json.loads(s)["reason"])).tolist() == [
        "halves of 4 images, fewer than the minimum of 16"
    ]
    with pytest.raises(DataError, match="generated images were given"):
        manifold_rows(generated, generated, context=CONTEXT, **settings)
