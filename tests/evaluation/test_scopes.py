import numpy as np

from morphpipe.evaluation.feature_set import FeatureSet
from morphpipe.evaluation.scopes import Scope, of_generated_conditions, scopes

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
    assert Scope(None, "1").columns == {"cell_type": "all", "perturbation": "1"}


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
