"""Centring and scaling of features, fitted on chosen rows and applied to others.

The scalers are pycytominer's own (`normalize` with ``standardize`` and ``mad_robustize``); they
stand here as an object with a fit and a transform, so that what was fitted on what can be seen.
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

# Objects are measured in float32: a smaller spread relative to the centre is rounding.
_RESOLUTION = 1e-7
CELL_TYPE = (f"{METADATA}cell_type",)
PLATE = (f"{METADATA}batch", f"{METADATA}plate")


@dataclass(frozen=True)
class Level:
    """Centre and scale of groups of rows.

    Attributes
    ----------
    columns
        What tells the groups, `CELL_TYPE` or `PLATE`.
    fits
        By values of these columns, the centre and the scale by feature; of those groups that had
        enough rows.
    """

    columns: tuple[str, ...]
    fits: dict[tuple[str, ...], tuple[pd.Series, pd.Series]]


@dataclass(frozen=True)
class Normaliser:
    """Centre and scale of every feature, of all rows together and of groups of them.

    Attributes
    ----------
    method
        ``standardize``: mean and standard deviation (ddof 0). ``mad_robustize``: median and
        1.4826 times the median absolute deviation.
    centre, scale
        By feature, of all rows together. The scale is NaN where the rows show no spread: such a
        feature has no unit, and normalised it is NaN throughout.
    levels
        Groups; the last level that has a row's group normalises it.
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
        """Normalise the features that were fitted; other features are left out.

        Rows of a group that was fitted are normalised by it, all other rows (of a plate with too
        few rows to fit, and generated images where plates are concerned) by the level before, and
        at last by all rows together.
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
        The profiles to fit on, for instance the negative controls of the real fields.
    features
        Columns.
    method
        See `Normaliser`.
    levels
        Groups to fit on their own rows as well, the finer ones last: `CELL_TYPE`, `PLATE`. Only
        real rows have plates: beside real images without the differences between plates stand
        generated ones that still have them, which makes the generated ones look more spread.
        Choose plates where they differ more than perturbations do, and read differences in
        spread with care.
    minimum_rows
        Of a group; smaller ones keep the fit of the level before.

    Raises
    ------
    DataError
        When there are fewer than two rows.
    """
    if len(rows) < 2:
        raise DataError(
            f"features cannot be normalised on {len(rows)} fields: two at least are needed, and "
            "some twenty for a robust scale"
        )
    centre, scale = _fitted(rows[features], method)
    fitted = []
    for columns in levels:
        fits: dict[tuple[str, ...], tuple[pd.Series, pd.Series]] = {}
        for key, part in rows.groupby(list(columns), sort=True):
            if len(part) >= max(minimum_rows, 2):
                of_group = _fitted(part[features], method)
                # A feature that is constant in one group only is scaled as in all of them.
                fits[key] = (of_group[0], of_group[1].fillna(scale))
        fitted.append(Level(tuple(columns), fits))
    return Normaliser(method, centre, scale, tuple(fitted), len(rows))


def _fitted(values: pd.DataFrame, method: Method) -> tuple[pd.Series, pd.Series]:
    if method == "standardize":
        scaler = StandardScaler().fit(values.to_numpy())
        centre = pd.Series(scaler.mean_, index=values.columns)
        # Not scale_, which is 1 where there is no variance.
        scale = pd.Series(np.sqrt(scaler.var_), index=values.columns)
    elif method == "mad_robustize":
        robust = RobustMAD(epsilon=0).fit(values)
        centre, scale = robust.median, robust.mad
    else:
        raise DataError(f"features are normalised by standardize or mad_robustize, not {method}")
    return centre, scale.where(scale > _RESOLUTION * centre.abs())
