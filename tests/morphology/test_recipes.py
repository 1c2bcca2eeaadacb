from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from pycytominer import feature_select, normalize

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.morphology.profiles import feature_columns
from morphpipe.morphology.recipes import RECIPES, Recipe, fit_recipe, morphgen_recipe

from .profile_data import make_profiles, profiles


def population(shift=0.0, *, number=60, width=40, seed=0):
    """Real and generated profiles with correlated features; generated ones are shifted."""
    generator = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(6, width))
    scale = 10.0 ** np.random.default_rng(98).uniform(-4, 3, width)

    def draw(origin, perturbation, offset):
        values = generator.normal(size=(number, 6)) @ loadings
        values += 0.7 * generator.normal(size=(number, width)) + offset
        return make_profiles(values * scale, origin=origin, perturbation=perturbation)

    real = profiles(draw("real", "control", 0.0), draw("real", "a", 1.0)).table
    generated = profiles(
        draw("generated", "control", shift), draw("generated", "a", 1.0 + shift)
    ).table
    return real, generated


def test_morphodiff_is_what_pycytominer_makes_of_the_pooled_rows():
    real, generated = population(0.5)
    pooled = pd.concat([real, generated], ignore_index=True)
    features = feature_columns(pooled)
    expected = feature_select(
        normalize(pooled, features=features, samples="all", method="standardize"),
        features=features,
        operation=[
            "frequency_threshold", "drop_na_columns", "blocklist", "drop_outliers",
            "correlation_threshold",
        ],
    )  # fmt: skip
    fitted = fit_recipe(RECIPES["morphodiff"], real, generated)
    # The number of cells is constant here, and has no unit.
    wanted = [name for name in feature_columns(expected) if name != "Image_Count_Nuclei"]
    assert fitted.features == wanted
    values = np.concatenate([fitted.transform(part).values for part in (real, generated)])
    np.testing.assert_allclose(values, expected[wanted], rtol=1e-9)


def test_morphgen_thresholds_the_variance_before_it_is_one():
    real, generated = population()
    before, after = (
        fit_recipe(morphgen_recipe(order), real, generated) for order in ("before", "after")
    )
    pooled = pd.concat([real, generated])[feature_columns(real)]
    low = int((pooled.var(ddof=0) < 1e-5).sum())
    steps = {step.name: (step.before, step.after) for step in before.steps}
    # One feature more: the constant number of cells.
    assert steps["variance_threshold 1e-05"] == (41, 41 - low)
    assert low > 1
    steps = {step.name: (step.before, step.after) for step in after.steps}
    assert steps["variance_threshold 1e-05"] == (40, 40)
    values = before.transform(real).values
    together = np.concatenate([values, before.transform(generated).values])
    assert np.abs(np.corrcoef(together.T) - np.eye(values.shape[1])).max() <= 0.7
    assert before.transform(real).scores.shape == (120, min(32, values.shape[1]))


def test_pooled_normalisation_hides_the_difference_that_is_measured():
    # In units of the pooled deviation sqrt(s^2 + d^2/4) no two sets differ by more than 2.
    shift = 20.0
    real, generated = population(shift)
    plain = Recipe("pooled", "pooled", "standardize", (), ())
    apart = {}
    for recipe in (plain, Recipe("real", "controls", "standardize", (), ())):
        fitted = fit_recipe(recipe, real, generated)
        left, right = fitted.transform(real), fitted.transform(generated)
        apart[recipe.name] = np.abs(right.values.mean(axis=0) - left.values.mean(axis=0))
        pooled = np.concatenate([left.values, right.values])
        assert (pooled.std(axis=0) == pytest.approx(1)) == (recipe is plain)
    features = fitted.features
    within = np.sqrt((real[features].var(ddof=0) + generated[features].var(ddof=0)) / 2)
    difference = generated[features].mean() - real[features].mean()
    expected = difference / np.sqrt(within**2 + difference**2 / 4)
    np.testing.assert_allclose(apart["pooled"], expected.abs(), rtol=1e-9)
    assert apart["pooled"].max() < 2
    controls = real[real["Metadata_control"] == "negative"][features]
    np.testing.assert_allclose(apart["real"], (difference / controls.std(ddof=0)).abs())
    assert apart["real"].min() > 3


def distance(recipe, shift):
    """Root mean square distance of the mean features, and how many features are left."""
    real, generated = population(shift)
    fitted = fit_recipe(recipe, real, generated)
    left, right = (fitted.transform(part).values.mean(axis=0) for part in (real, generated))
    return float(np.sqrt(((left - right) ** 2).mean())), len(fitted.features)


def test_the_papers_recipes_make_wrong_images_look_closer_than_the_fixed_one():
    shifts = (0.0, 5.0, 20.0, 80.0)
    found = {name: [distance(recipe, s) for s in shifts] for name, recipe in RECIPES.items()}
    # Images four times as wrong are four times as far away, on the same features.
    sizes = [size for size, _ in found["fixed"]]
    assert sizes[3] / sizes[2] == pytest.approx(4, rel=0.05)
    assert len({number for _, number in found["fixed"]}) == 1
    for name in ("morphodiff", "morphgen"):
        sizes = [size for size, _ in found[name]]
        assert max(sizes) < 2
        assert found["fixed"][2][0] > 3 * sizes[2]
        # What is wrong together is correlated by being wrong, and leaves as redundant.
        numbers = [number for _, number in found[name]]
        assert numbers[3] < numbers[0] / 4


def test_fixed_does_not_depend_on_the_generated_values():
    real, generated = population()
    first = fit_recipe(RECIPES["fixed"], real, generated)
    _, other = population(1e3, seed=5)
    second = fit_recipe(RECIPES["fixed"], real, other)
    assert first.features == second.features
    np.testing.assert_array_equal(first.transform(real).values, second.transform(real).values)
    assert first.fitted_on == "60 real negative controls"


def test_fixed_goes_by_all_real_fields_where_controls_are_few():
    real, generated = population()
    few = real[(real["Metadata_control"] != "negative") | (real.index < 5)]
    fitted = fit_recipe(RECIPES["fixed"], few, generated)
    assert "5 negative controls of a cell type are too few" in fitted.fitted_on
    assert np.median(fitted.transform(few).values, axis=0) == pytest.approx(0, abs=1e-9)


def test_fields_without_cells_are_left_out_and_counted():
    real, generated = population()
    empty = make_profiles(np.full((3, 40), np.nan), counts=0, start=900)
    with_empty = pd.concat([real, empty], ignore_index=True)
    for recipe in RECIPES.values():
        fitted = fit_recipe(recipe, with_empty, generated)
        prepared = fitted.transform(with_empty)
        assert (len(prepared), prepared.without_cells) == (120, 3)
        np.testing.assert_array_equal(
            prepared.values, fit_recipe(recipe, real, generated).transform(real).values
        )


def test_what_generated_images_cannot_show_is_not_compared():
    real, generated = population()
    name = fit_recipe(RECIPES["fixed"], real, generated).features[0]
    generated.loc[: int(0.06 * len(generated)), name] = np.nan
    fitted = fit_recipe(RECIPES["fixed"], real, generated)
    assert name not in fitted.features
    steps = {step.name: (step.before, step.after) for step in fitted.steps}
    before, after = steps["drop_na_columns in generated images"]
    assert before - after == 1


def test_few_missing_values_are_set_to_the_centre_and_extreme_ones_cut():
    real, generated = population()
    fitted = fit_recipe(RECIPES["fixed"], real, generated)
    name = fitted.features[0]
    generated.loc[0, name], generated.loc[1, name] = np.nan, 1e30
    prepared = fitted.transform(generated)
    assert prepared.values[:2, 0].tolist() == [0.0, 500.0]
    assert prepared.cut == 1
    assert prepared.imputed == pytest.approx(1 / prepared.values.size)


def test_steps_follow_each_other():
    real, generated = population()
    for recipe in RECIPES.values():
        steps = fit_recipe(recipe, real, generated).steps
        for before, after in pairwise(steps):
            assert before.after == after.before
            assert after.before >= after.after


def test_plates_and_pooling_do_not_go_together():
    real, generated = population()
    with pytest.raises(ConfigError, match="no plates in common"):
        fit_recipe(RECIPES["morphgen"], real, generated, per_plate=True)
    fitted = fit_recipe(RECIPES["fixed"], real, generated, per_plate=True)
    assert [set(level.fits) for level in fitted.normaliser.levels] == [{("HUVEC",)}, {("b0", "1")}]


def test_images_without_any_cell_are_said():
    real, generated = population()
    with pytest.raises(DataError, match="120 real and 0 generated fields have cells"):
        fit_recipe(RECIPES["fixed"], real, generated.assign(Image_Count_Nuclei=0.0))
