import numpy as np

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.scopes import (
    Group,
    Scope,
    of_generated_conditions,
    perturbation_groups,
    scopes,
)

MEANS = {(c, p): 0.0 for c in "AB" for p in ("control", "1")}


def test_every_level_once(make_features):
    generated = make_features({**MEANS, ("B", "2"): 0.0}, seed=0, origin="generated")
    found = [(s.cell_type, s.perturbation) for s in scopes(generated)]
    assert found == [
        (None, None),
        ("A", None),
        ("B", None),
        (None, "1"),
        (None, "2"),
        (None, "control"),
        ("A", "1"),
        ("A", "control"),
        ("B", "1"),
        ("B", "2"),
        ("B", "control"),
    ]
    assert len(Scope("B", "2").of(generated)) == 32
    assert Scope(None, "1").columns == {"cell_type": "all", "perturbation": "1", "group": None}
    assert Scope(None, None).columns["perturbation"] == "all"


def test_shuffling_keeps_what_is_not_singled_out(make_features):
    generated = make_features(MEANS, seed=0, origin="generated")
    pool, match = Scope(None, "1").shuffled(generated)
    assert (len(pool), match) == (len(generated), "cell_type")
    pool, match = Scope("A", None).shuffled(generated)
    assert (len(pool), match) == (len(generated), "perturbation")
    pool, match = Scope("A", "1").shuffled(generated)
    assert (set(pool.column("cell_type")), match) == ({"A"}, None)
    assert set(pool.column("perturbation")) == {"1", "control"}


def test_real_images_of_other_conditions_are_left_out(make_features):
    real = make_features(MEANS, seed=0)
    generated = make_features({("A", "1"): 0.0, ("B", "control"): 0.0}, seed=1, origin="generated")
    kept = of_generated_conditions(real, generated)
    pairs = set(zip(kept.column("cell_type"), kept.column("perturbation"), strict=True))
    assert pairs == {("A", "1"), ("B", "control")}
    # Generated per cell type alone: every perturbation of it counts.
    unconditioned = FeatureSet(
        generated.keys.assign(perturbation=None), generated.features, "test", "rgb"
    ).select(np.arange(32))
    kept = of_generated_conditions(real, unconditioned)
    assert set(kept.column("cell_type")) == {"A"}
    assert set(kept.column("perturbation")) == {"1", "control"}
    assert [s.perturbation for s in scopes(unconditioned)] == [None, None]


def test_groups_by_mechanism_and_by_what_was_trained_on(make_features):
    conditions = {("A", p): 0.0 for p in ("control", "1", "2", "3")}
    generated = make_features(conditions, seed=0, origin="generated")
    moa = {"1": "kinase", "2": "tubulin", "3": "kinase"}
    real = make_features({**conditions, ("A", "4"): 0.0}, seed=1, mechanisms=moa | {"4": "actin"})
    training = real.select(~np.isin(real.column("perturbation"), ["2", "3"]))
    # Neither the control without a mechanism nor "4", which was not generated, is in one of them.
    assert perturbation_groups(generated, real, training) == [
        Group("moa: kinase", ("1", "3")),
        Group("moa: tubulin", ("2",)),
        Group("distribution: in", ("1", "control")),
        Group("distribution: out", ("2", "3")),
    ]
    # One group says nothing that all together do not say.
    assert [g.name for g in perturbation_groups(generated, real, real)] == [
        "moa: kinase",
        "moa: tubulin",
    ]
    plain = make_features(conditions, seed=1)
    assert perturbation_groups(generated, plain, None) == []


def test_mechanisms_of_training_images_count_and_two_are_named_together(make_features):
    conditions = {("A", p): 0.0 for p in ("1", "2")}
    generated = make_features(conditions, seed=0, origin="generated")
    real = make_features(conditions, seed=1, mechanisms={"1": "x"})
    training = make_features(conditions, seed=2, mechanisms={"1": "w", "2": "x"})
    assert [g.name for g in perturbation_groups(generated, real, training)] == [
        "moa: w / x",
        "moa: x",
    ]


def test_a_group_is_a_scope_that_no_selection_by_all_takes(make_features):
    generated = make_features({**MEANS, ("B", "2"): 0.0}, seed=0, origin="generated")
    group = Group("moa: x", ("1", "2"))
    *others, scope = scopes(generated, [group])
    assert [s.group for s in others] == [None] * 11
    assert set(scope.of(generated).column("perturbation")) == {"1", "2"}
    assert len(scope.of(generated)) == 3 * 32
    assert not scope.is_everything
    assert scope.columns == {"cell_type": "all", "perturbation": "moa: x", "group": "moa: x"}
    pool, match = scope.shuffled(generated)
    assert (len(pool), match) == (len(generated), "cell_type")
