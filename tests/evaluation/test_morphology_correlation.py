import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from morphpipe.core.errors import DataError
from morphpipe.evaluation.morphology.correlation import (
    correlation_matrix,
    matrix_agreement,
    top_features,
)


def test_top_features_are_those_that_components_explain_best():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(500, 12)) * np.r_[np.full(9, 0.1), 3, 1, 2]
    pca = PCA(n_components=3).fit(values)
    chosen = top_features(pca.components_, pca.explained_variance_, number=3)
    assert chosen.tolist() == [9, 11, 10]
    # The variance that three components explain of a feature is that of its reconstruction.
    rebuilt = pca.inverse_transform(pca.transform(values))
    explained = pca.explained_variance_ @ pca.components_**2
    assert explained == pytest.approx(rebuilt.var(axis=0, ddof=1))
    assert len(top_features(pca.components_, pca.explained_variance_, number=50)) == 12


def test_correlations_are_pandas_ones():
    values = np.random.default_rng(1).normal(5, 2, size=(40, 6)) @ np.ones((6, 6)) ** 2
    values += np.random.default_rng(2).normal(size=(40, 6))
    np.testing.assert_allclose(correlation_matrix(values), pd.DataFrame(values).corr(), rtol=1e-9)


def test_a_constant_feature_has_no_correlation():
    values = np.random.default_rng(3).normal(size=(10, 4))
    values[:, 2] = 0.1
    matrix = correlation_matrix(values)
    assert np.isnan(matrix[2]).all()
    assert np.isfinite(np.delete(np.delete(matrix, 2, 0), 2, 1)).all()


def test_agreement_by_hand():
    left = np.array([[1, 0.5, 0.1], [0.5, 1, -0.3], [0.1, -0.3, 1]])
    right = np.array([[1, 0.4, 0.3], [0.4, 1, -0.1], [0.3, -0.1, 1]])
    result = matrix_agreement(left, right)
    assert result.pearson == pytest.approx(
        stats.pearsonr([0.5, 0.1, -0.3], [0.4, 0.3, -0.1]).statistic
    )
    assert result.rms == pytest.approx(((0.01 + 0.04 + 0.04) / 3) ** 0.5)
    assert result.pairs == 3
    same = matrix_agreement(left, left)
    assert (same.pearson, same.rms) == (pytest.approx(1), 0)


def test_what_cannot_be_compared_is_said():
    constant = np.full((4, 4), np.nan)
    with pytest.raises(DataError, match="0 pairs"):
        matrix_agreement(constant, np.eye(4))
    with pytest.raises(DataError, match="all correlations of one side are equal"):
        matrix_agreement(np.eye(4), np.eye(4))
    with pytest.raises(DataError, match="do not fit"):
        matrix_agreement(np.eye(4), np.eye(3))
