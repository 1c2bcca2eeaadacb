import numpy as np

from morphpipe.evaluation.perturbation_effects import perturbation_effects

MEANS = {("A", "control"): 0.0, ("A", "1"): 1.0, ("B", "control"): 0.0, ("B", "1"): 1.0}


def test_deviations_scatter_as_the_effect_does_between_screens(make_features):
    values, spreads = {"A": [], "all": []}, {"A": [], "all": []}
    for seed in range(150):
        images = make_features(MEANS, seed=seed, wells=8, well_deviation=0.4)
        effects = perturbation_effects(images, replicates=150, seed=seed)
        for name in values:
            values[name].append(effects[name]["1"].unbiased)
            spreads[name].append(effects[name]["1"].deviations.std())
    for name in values:
        assert 0.75 < np.mean(spreads[name]) / np.std(values[name]) < 1.35
    # Cell types are independent: their mean scatters less by the root of two.
    assert np.mean(spreads["all"]) < 0.8 * np.mean(spreads["A"])


def test_a_cell_type_without_controls_has_no_effects(make_features):
    images = make_features({**MEANS, ("C", "1"): 0.0}, seed=0)
    effects = perturbation_effects(images, replicates=10, seed=0)
    assert effects["C"] == {}
    assert set(effects["A"]) == {"1"}
    assert effects["all"]["1"].units == "mean over 2 cell types"
