import numpy as np
import pytest
from pycytominer import normalize

from morphpipe.core.errors import DataError
from morphpipe.morphology.normalisation import CELL_TYPE, PLATE, fit_normaliser
from morphpipe.morphology.profiles import feature_columns

from .profile_data import make_profiles, profiles


@pytest.fixture
def table():
    generator = np.random.default_rng(0)
    scale = 10.0 ** np.arange(-2, 3)
    return profiles(
        make_profiles(generator.normal(3, 1, (30, 5)) * scale, perturbation="control"),
        make_profiles(generator.normal(5, 2, (20, 5)) * scale, perturbation="a"),
    ).table.drop(columns="Image_Count_Nuclei")


@pytest.mark.parametrize("method", ["standardize", "mad_robustize"])
def test_it_is_what_pycytominer_does_on_the_same_rows(table, method):
    features = feature_columns(table)
    controls = table["Metadata_control"] == "negative"
    ours = fit_normaliser(table[controls], features, method).transform(table)
    theirs = normalize(
        table, features=features, samples="Metadata_control == 'negative'", method=method
    )
    np.testing.assert_allclose(ours[features], theirs[features], rtol=1e-10)


def test_robust_z_by_hand():
    table = make_profiles([[1.0], [2.0], [3.0], [4.0], [100.0]])
    normaliser = fit_normaliser(table, feature_columns(table)[:1], "mad_robustize")
    # The median is 3, the absolute deviations 2, 1, 0, 1, 97, and theirs 1.
    expected = (np.array([1.0, 2.0, 3.0, 4.0, 100.0]) - 3) / 1.4826
    assert normaliser.transform(table).iloc[:, -1].to_numpy() == pytest.approx(expected)


def test_a_feature_without_spread_has_no_unit():
    values = np.random.default_rng(0).normal(size=(10, 3))
    values[:, 1] = 7.3
    values[:, 2] = 1e6 * (1 + 1e-12 * values[:, 0])
    table = make_profiles(values)
    features = feature_columns(table)[:3]
    for method in ("standardize", "mad_robustize"):
        normaliser = fit_normaliser(table, features, method)
        assert normaliser.without_spread == features[1:]
        # Never the plausible zero, or a division by what rounding left.
        assert normaliser.transform(table)[features[1:]].isna().all(axis=None)


def test_plates_are_normalised_by_their_own_rows():
    generator = np.random.default_rng(1)
    tables = [
        make_profiles(generator.normal(10 * plate, 1 + plate, (40, 4)), plate=str(plate))
        for plate in (1, 2)
    ]
    few = make_profiles(generator.normal(30, 1, (3, 4)), plate="3")
    generated = make_profiles(generator.normal(15, 1, (5, 4)), origin="generated")
    real = profiles(*tables, few).table
    features = feature_columns(real)[:4]
    normaliser = fit_normaliser(real, features, "standardize", levels=[PLATE], minimum_rows=20)
    assert set(normaliser.levels[0].fits) == {("b0", "1"), ("b0", "2")}
    for table in tables:
        alone = normaliser.transform(table)[features]
        np.testing.assert_allclose(alone.mean(), 0, atol=1e-12)
        np.testing.assert_allclose(alone.std(ddof=0), 1)
    # A plate with few rows, and images without a plate, go by all rows together.
    whole = real[features]
    for table in (few, generated):
        expected = (table[features] - whole.mean()) / whole.std(ddof=0)
        np.testing.assert_allclose(normaliser.transform(table)[features], expected)


def test_cell_types_have_a_centre_of_their_own_and_plates_one_within_them():
    generator = np.random.default_rng(4)
    real = profiles(
        make_profiles(generator.normal(0, 1, (30, 2)), cell_type="HUVEC", plate="1"),
        make_profiles(generator.normal(50, 3, (30, 2)), cell_type="RPE", plate="2"),
        make_profiles(generator.normal(55, 3, (30, 2)), cell_type="RPE", plate="3"),
    ).table
    features = feature_columns(real)[:2]
    normaliser = fit_normaliser(real, features, "standardize", levels=[CELL_TYPE, PLATE])
    assert normaliser.transform(real).groupby("Metadata_plate")[features].mean().abs().max(
        axis=None
    ) == pytest.approx(0, abs=1e-12)
    # Generated images have no plate, but a cell type.
    generated = make_profiles(np.full((3, 2), 52.5), origin="generated", cell_type="RPE")
    rpe = real.loc[real["Metadata_cell_type"] == "RPE", features]
    expected = (52.5 - rpe.mean()) / rpe.std(ddof=0)
    result = normaliser.transform(generated)[features]
    np.testing.assert_allclose(result, np.tile(expected, (3, 1)))


def test_missing_values_stay_missing_and_do_not_count():
    values = np.random.default_rng(2).normal(size=(20, 1))
    with_gap = np.concatenate([values, [[np.nan]]])
    for method in ("standardize", "mad_robustize"):
        tables = make_profiles(values), make_profiles(with_gap)
        features = feature_columns(tables[0])[:1]
        whole, gap = (fit_normaliser(table, features, method) for table in tables)
        assert gap.centre.iloc[0] == pytest.approx(whole.centre.iloc[0])
        assert gap.scale.iloc[0] == pytest.approx(whole.scale.iloc[0])
        assert gap.transform(tables[1])[features].isna().sum().item() == 1


def test_a_single_field_is_no_basis():
    table = make_profiles(np.ones((1, 2)))
    with pytest.raises(DataError, match="1 fields"):
        fit_normaliser(table, feature_columns(table), "standardize")
