"""Centring and scaling of features, fitted on some rows and applied to others.

The scalers are pycytominer's (`normalize` with ``standardize`` and ``mad_robustize``), as an object
with separate fit and transform.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pycytominer.operations import RobustMAD
from sklearn.preprocessing import StandardScaler

from morphpipe.core.errors import DataError
from morphpipe.morphology.feature_names import METADATA

Method = Literal["standardize", "mad_robustize"]

# Objects are measured in float32: a smaller relative spread is rounding error.
_RESOLUTION = 1e-7
CELL_TYPE = (f"{METADATA}cell_type",)
PLATE = (f"{METADATA}batch", f"{METADATA}plate")


@dataclass(frozen=True)
class Level:
    """Centre and scale of groups of rows.

    Attributes
    ----------
    columns
        Columns that define groups, `CELL_TYPE` or `PLATE`.
    fits
        Centre and scale by feature, for each group with enough rows.
    """

    columns: tuple[str, ...]
    fits: dict[tuple[str, ...], tuple[pd.Series, pd.Series]]


@dataclass(frozen=True)
class Normaliser:
    """Centre and scale of every feature, over all rows and by group.

    Attributes
    ----------
    method
        ``standardize``: mean and standard deviation (ddof 0). ``mad_robustize``: median and
        1.4826 times the median absolute deviation.
    centre, scale
        By feature, over all rows. The scale is NaN without spread: such a feature is NaN after
        normalisation.
    levels
        Groups; the last level that contains a row's group is used.
    fitted_on
        Number of rows.
    """

    method: Method
    centre: pd.Series
    scale: pd.Series
    levels: tuple[Level, ...]
    fitted_on: int

    @property
    def without_spread(self) -> list[str]:
        """Features that cannot be normalised."""
        return list(self.scale.index[self.scale.isna()])

    def transform(self, profiles: pd.DataFrame) -> pd.DataFrame:
        """Normalise the fitted features; others are dropped.

        Rows of a fitted group are normalised by it, other rows (of plates with too few rows, and
        generated images, which have no plate) by the level before, and finally by all rows.
        """
        features = list(self.centre.index)
        raw = profiles[features].to_numpy(np.float64)
        values = (raw - self.centre.to_numpy()) / self.scale.to_numpy()
        for level in self.levels:
            labels = profiles[list(level.columns)]
            for key, (centre, scale) in level.fits.items():
                rows = (labels == list(key)).all(axis=1).to_numpy()
                values[rows] = (raw[rows] - centre.to_numpy()) / scale.to_numpy()
        metadata = [name for name in profiles.columns if name.startswith(METADATA)]
        normalised = pd.DataFrame(values, columns=features, index=profiles.index)
        return pd.concat([profiles[metadata], normalised], axis=1)


def fit_normaliser(
    rows: pd.DataFrame,
    features: list[str],
    method: Method,
    *,
    levels: Sequence[tuple[str, ...]] = (),
    minimum_rows: int = 2,
) -> Normaliser:
    """Fit centre and scale of features.

    Parameters
    ----------
    rows
        The profiles to fit on, e.g. the negative controls of the real fields.
    features
        Columns.
    method
        See `Normaliser`.
    levels
        Groups to fit separately, finer ones last: `CELL_TYPE`, `PLATE`. Only real rows have plates:
        generated images keep differences between plates that are removed from real ones, and look
        more spread. Use plates if they differ more than perturbations do, and read differences in
        spread with care.
    minimum_rows
        Minimum rows of a group; smaller ones use the level before.

    Raises
    ------
    DataError
        If there are fewer than two rows.
    """
    if len(rows) < 2:
        raise DataError(
            f"features cannot be normalised on {len(rows)} fields: at least two are needed, and "
            "about twenty for a robust scale"
        )
    centre, scale = _fitted(rows[features], method)
    fitted = []
    for columns in levels:
        fits: dict[tuple[str, ...], tuple[pd.Series, pd.Series]] = {}
        for key, part in rows.groupby(list(columns), sort=True):
            if len(part) >= max(minimum_rows, 2):
                of_group = _fitted(part[features], method)
                # A feature that is constant in one group only is scaled as over all rows.
                fits[key] = (of_group[0], of_group[1].fillna(scale))
        fitted.append(Level(tuple(columns), fits))
    return Normaliser(method, centre, scale, tuple(fitted), len(rows))


def _fitted(values: pd.DataFrame, method: Method) -> tuple[pd.Series, pd.Series]:
    if method == "standardize":
        scaler = StandardScaler().fit(values.to_numpy())
        centre = pd.Series(scaler.mean_, index=values.columns)
        # Not scale_, which is 1 without variance.
        scale = pd.Series(np.sqrt(scaler.var_), index=values.columns)
    elif method == "mad_robustize":
        robust = RobustMAD(epsilon=0).fit(values)
        centre, scale = robust.median, robust.mad
    else:
        raise DataError(f"features are normalised by standardize or mad_robustize, not {method}")
    return centre, scale.where(scale > _RESOLUTION * centre.abs())
