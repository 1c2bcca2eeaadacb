import numpy as np
import pytest

from morphpipe.evaluation.effects.perturbation_effects import perturbation_effects

MEANS = {("A", "control"): 0.0, ("A", "1"): 1.0, ("B", "control"): 0.0, ("B", "1"): 1.0}


def test_variance_is_that_between_screens(make_features):
    values, variances = {"A": [], "all": []}, {"A": [], "all": []}
    for seed in range(300):
        images = make_features(MEANS, seed=seed, wells=8, well_deviation=0.4)
        effects = perturbation_effects(images)
        for name in values:
            values[name].append(effects[name]["1"].unbiased)
            variances[name].append(effects[name]["1"].variance)
    for name in values:
        # The standard deviation of a variance over 300 screens is 8 % of it.
        assert np.mean(variances[name]) == pytest.approx(np.var(values[name]), rel=0.25)
    # Cell types are independent: their mean has half the variance.
    assert np.mean(variances["all"]) == pytest.approx(np.mean(variances["A"]) / 2, rel=0.1)


def test_a_cell_type_without_controls_has_no_effects(make_features):
    images = make_features({**MEANS, ("C", "1"): 0.0}, seed=0)
    effects = perturbation_effects(images)
    assert effects["C"] == {}
    assert set(effects["A"]) == {"1"}
    assert effects["all"]["1"].units == "mean over 2 cell types"
