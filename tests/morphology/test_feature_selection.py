import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.morphology.feature_selection import Selection, select_features


def frame(**columns):
    return pd.DataFrame(columns)


NORMAL = np.random.default_rng(0).normal(size=(200, 3))


def select(table, operation, threshold=None):
    return select_features(table, list(table.columns), Selection(operation, threshold))


def test_missing_values_above_the_tolerated_share():
    table = frame(Cells_a=NORMAL[:, 0].copy(), Image_b=NORMAL[:, 1].copy(), Cells_c=NORMAL[:, 2])
    table.loc[:9, "Cells_a"] = np.nan
    table.loc[:10, "Image_b"] = np.nan
    assert select(table, "drop_na_columns", 0.05) == ["Cells_a", "Cells_c"]


def test_variance_is_that_of_the_values_themselves():
    table = frame(Cells_a=1e-3 * NORMAL[:, 0], Cells_b=1e-2 * NORMAL[:, 1])
    variances = table.var(ddof=0)
    assert variances["Cells_a"] < 1e-5 < variances["Cells_b"]
    assert select(table, "variance_threshold", 1e-5) == ["Cells_b"]


def test_frequency_asks_for_different_values():
    table = frame(Cells_a=np.r_[np.zeros(199), 1.0], Cells_b=NORMAL[:, 0])
    assert select(table, "frequency_threshold") == ["Cells_b"]


def test_extreme_features_go():
    table = frame(Cells_a=np.r_[NORMAL[:199, 0], -501], Cells_b=np.r_[NORMAL[:199, 0], 499])
    assert select(table, "drop_outliers", 500) == ["Cells_b"]


def test_the_blocklist_knows_the_stains_of_cell_painting():
    table = pd.DataFrame(
        NORMAL[:, :2], columns=["Nuclei_Correlation_Manders_AGP_DNA", "Nuclei_AreaShape_Area"]
    )
    assert select(table, "blocklist") == ["Nuclei_AreaShape_Area"]


def test_features_that_vary_among_replicates_are_noise():
    groups = np.repeat(np.arange(50), 4)
    table = frame(
        Metadata_perturbation=groups.astype(str),
        Cells_noise=NORMAL[:, 0],
        Cells_signal=groups / 14 + 0.1 * NORMAL[:, 1],
    )
    features = ["Cells_noise", "Cells_signal"]
    kept = select_features(table, features, Selection("noise_removal", 0.8))
    assert kept == ["Cells_signal"]


def test_absolute_correlation_is_pycytominers_where_nothing_is_negative():
    generator = np.random.default_rng(3)
    shared = generator.normal(size=(300, 1))
    values = shared + generator.uniform(0.1, 1.2, 40) * generator.normal(size=(300, 40))
    table = pd.DataFrame(values, columns=[f"Cells_{i}" for i in range(40)])
    assert (np.corrcoef(values.T) > 0).all()
    for threshold in (0.5, 0.7, 0.9):
        ours = select(table, "absolute_correlation", threshold)
        assert ours == select(table, "correlation_threshold", threshold)
        # A pair above the threshold never stays.
        rest = np.abs(np.corrcoef(table[ours].T)) - np.eye(len(ours))
        assert rest.max() <= threshold
        assert len(ours) < 40


def test_opposite_features_are_redundant_too():
    table = frame(Cells_a=NORMAL[:, 0], Cells_b=-NORMAL[:, 0] + 1e-3, Cells_c=NORMAL[:, 1])
    assert len(select(table, "absolute_correlation", 0.9)) == 2
    assert len(select(table, "correlation_threshold", 0.9)) == 3


def test_positions_go():
    table = frame(Cells_Location_Center_X=NORMAL[:, 0], Cells_AreaShape_Area=NORMAL[:, 1])
    assert select(table, "positions") == ["Cells_AreaShape_Area"]


@pytest.mark.parametrize(
    ("operation", "threshold"), [("variance_threshold", 1e3), ("drop_outliers", 1e-9)]
)
def test_nothing_left_is_said(operation, threshold):
    table = pd.DataFrame(NORMAL, columns=["Cells_a", "Cells_b", "Cells_c"])
    with pytest.raises(DataError, match="none of 3 features on 200 fields"):
        select(table, operation, threshold)


def test_an_unknown_operation_is_named():
    with pytest.raises(DataError, match="not by magic"):
        select(frame(Cells_a=NORMAL[:, 0]), "magic")
