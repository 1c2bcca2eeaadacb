import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.retrieval.profiles import (
    ProfileSet,
    average_precisions,
    expected_average_precision,
    generated_profiles,
    normalised,
    well_profiles,
)
from morphpipe.evaluation.retrieval.rows import retrieval_rows
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}
MECHANISMS = {"a1": "A", "a2": "A", "b1": "B", "b2": "B"}


def effects(width=8, strength=3.0):
    """Perturbations of two mechanisms: those of one point into the same direction."""
    means = {("c", "control"): np.zeros(width)}
    for place, name in enumerate(MECHANISMS):
        direction = np.zeros(width)
        direction[0 if name.startswith("a") else 1] = strength
        direction[2 + place] = strength
        means["c", name] = direction
    return means


def by_definition(relevant):
    """Mean over the relevant ones of the precision at their place."""
    places = np.flatnonzero(relevant) + 1
    return np.mean([sum(places <= place) / place for place in places])


def profiles(values, perturbations, mechanisms=None, cell_types=None):
    number = len(values)
    return ProfileSet(
        np.asarray(values, float),
        np.array(cell_types or ["c"] * number, object),
        np.array(perturbations, object),
        np.array(mechanisms or [""] * number, object),
    )


def test_average_precision_by_definition():
    generator = np.random.default_rng(0)
    queries = profiles(generator.standard_normal((6, 3)), list("abcabc"))
    candidates = profiles(generator.standard_normal((9, 3)), list("aabbccaab"))
    values, chance = average_precisions(queries, candidates, "perturbation")
    for row in range(6):
        query = queries.values[row]
        cosine = candidates.values @ query / np.linalg.norm(candidates.values, axis=1)
        ranked = candidates.perturbations[np.argsort(-cosine)] == queries.perturbations[row]
        assert values[row] == pytest.approx(by_definition(ranked))
        assert chance[row] == pytest.approx(expected_average_precision(ranked.sum(), 9))


@pytest.mark.parametrize(("relevant", "number"), [(1, 5), (2, 5), (4, 6), (3, 3)])
def test_chance_is_the_mean_over_all_orders(relevant, number):
    labels = [1] * relevant + [0] * (number - relevant)
    orders = [by_definition(np.array(order)) for order in permutations(labels)]
    assert expected_average_precision(relevant, number) == pytest.approx(np.mean(orders))


def test_mechanisms_are_found_by_other_perturbations_only():
    candidates = profiles(np.eye(4)[[0, 0, 1, 2]], ["a1", "a2", "b1", "x"], ["A", "A", "B", ""])
    queries = profiles(np.eye(4)[[0, 1, 2]], ["a1", "b1", "x"], ["A", "B", ""])
    values, chance = average_precisions(queries, candidates, "moa")
    # Its own perturbation and the one without a mechanism are not in the list: a2 before b1.
    assert values[0] == 1
    assert chance[0] == pytest.approx(0.75)
    # No other perturbation of its mechanism; no mechanism.
    assert np.isnan(values[1:]).all()
    # Of another cell type nothing is listed.
    other = profiles(np.eye(4)[[0]], ["a1"], cell_types=["d"])
    assert np.isnan(average_precisions(other, candidates, "perturbation")[0]).all()


def test_profiles_are_means_of_wells(make_features):
    real = make_features(effects(), seed=0, wells=3, fields_per_well=4, well_deviation=1.0)
    images, by_controls = normalised(real)
    assert by_controls
    assert "control" not in set(images.column("perturbation"))
    found = well_profiles(images, MECHANISMS)
    assert len(found) == 4 * 3
    for well in range(12):
        rows = images.groups == np.unique(images.groups)[well]
        assert found.values[well] == pytest.approx(images.features[rows].mean(axis=0), abs=1e-5)
        assert {found.perturbations[well]} == set(images.column("perturbation")[rows])
    generated = make_features(effects(), seed=1, origin="generated", wells=11, fields_per_well=1)
    drawn = generated_profiles(normalised(generated)[0], MECHANISMS, size=3, at_most=2, seed=0)
    assert sorted(drawn.perturbations) == sorted(list(MECHANISMS) * 2)
    uncontrolled = real.select(real.column("control") == "none")
    images, by_controls = normalised(uncontrolled)
    assert not by_controls
    assert len(images) == len(uncontrolled)


def measure(generated, real, **settings):
    settings = settings_of("retrieval", **settings)
    return metric_table(retrieval_rows(generated, real, context=CONTEXT, **settings)).to_pandas()


@pytest.fixture(scope="module")
def table(make_features):
    real = make_features(effects(), seed=0, wells=8, mechanisms=MECHANISMS)
    generated = make_features(effects(), seed=1, origin="generated")
    return measure(generated, real, floor_repeats=2)


@pytest.mark.parametrize("task", ["perturbation", "moa"])
def test_faithful_profiles_lie_between_the_bounds(table, task):
    whole = table[(table["task"] == task) & (table["perturbation"] == "all")]
    whole = whole[whole["cell_type"] == "all"].set_index("comparison")
    assert whole.loc["real-real", "value"] > 0.95
    assert whole.loc["generated-real", "value"] > 0.9
    shuffled = whole.loc["shuffled-real"]
    chance = json.loads(shuffled["settings"])["chance"]
    assert shuffled["value"] < 0.75
    assert shuffled["value"] == pytest.approx(chance, abs=0.2)
    assert (whole["ci_low"] <= whole["value"]).all()
    assert (whole["ci_high"] >= whole["value"]).all()


def test_scopes(table):
    of_perturbation = table[table["task"] == "perturbation"]
    assert set(of_perturbation["perturbation"]) == {"all", *MECHANISMS}
    of_mechanism = table[table["task"] == "moa"]
    assert set(of_mechanism["group"].dropna()) == {"moa: A", "moa: B"}


def test_without_mechanisms_or_wells(make_features):
    means = {key: value for key, value in effects().items() if key[1] != "b2"}
    real = make_features(means, seed=0, wells=4)
    generated = make_features(means, seed=1, origin="generated")
    table = measure(generated, real)
    moa = table[table["task"] == "moa"]
    assert moa["value"].isna().all()
    assert moa["settings"].str.contains("no perturbation shares its mechanism").all()
    alone = real.select(real.column("well") == "a1-0")
    table = measure(generated, alone)
    assert table["value"].isna().all()
    with pytest.raises(DataError, match="no generated images"):
        measure(real, real)


def test_average_precision_and_chance_are_those_of_copairs():
    """The package of Kalinin et al.; it is no part of the environment (`pip install copairs`)."""
    reason = "copairs is not in the environment"
    average_precision = pytest.importorskip("copairs.map", reason=reason).average_precision
    random = np.random.default_rng(0)
    names = np.repeat(np.array([f"p{i}" for i in range(6)], dtype=object), 10)
    sides = [random.normal(size=(60, 12)) + np.repeat(np.arange(6), 10)[:, None] for _ in "ab"]
    ours, chance = average_precisions(
        *(ProfileSet(v, np.full(60, "c"), names, np.full(60, "")) for v in sides), "perturbation"
    )
    keys = pd.DataFrame({"perturbation": np.tile(names, 2), "side": np.repeat(["a", "b"], 60)})
    theirs = average_precision(
        keys.astype(object), np.concatenate(sides), pos_sameby=["perturbation"],
        pos_diffby=["side"], neg_sameby=[], neg_diffby=["perturbation", "side"],
    ).iloc[:60]  # fmt: skip
    np.testing.assert_allclose(ours, theirs["average_precision"], rtol=1e-12)
    above = (ours - chance) / (1 - chance)
    np.testing.assert_allclose(above, theirs["normalized_average_precision"], atol=1e-12)
