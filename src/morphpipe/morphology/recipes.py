r"""Recipes: normalisation and feature selection of profiles before comparison.

Both papers normalise over pooled real and generated profiles, which leaks the difference into its
unit. Let a feature have standard deviation s within each of two equally large sets, and means d
apart: the pooled deviation is sqrt(s^2 + d^2/4), and in its units the means differ by d / sqrt(s^2
+ d^2/4), which never exceeds 2, however wrong the generated images are. Feature selection on pooled
  rows has the same problem: features that are wrong together are correlated by the difference alone
  and dropped as redundant, and ``drop_outliers`` drops the most deviant. On a synthetic screen of
  31 features, generated profiles that are off by 6 (24) deviations of the real controls have that
  distance with the recipe ``fixed``, but 1.7 (1.4) with MorphoDiff's, on the 10 (2) features that
  it keeps, and 1.4 (1.4) with MorphGen's, on 3 (2). ``fixed`` fits everything on real images and
  applies it to both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.morphology.feature_names import METADATA
from morphpipe.morphology.feature_selection import Selection, select_features
from morphpipe.morphology.normalisation import (
    CELL_TYPE,
    PLATE,
    Method,
    Normaliser,
    fit_normaliser,
)
from morphpipe.morphology.profiles import cell_counts, feature_columns

# Minimum rows for a median absolute deviation: its relative standard error is about 1.17 / sqrt(n),
# a quarter at twenty.
MINIMUM_CONTROLS = 20
# pycytominer's threshold of drop_outliers; larger values outside the fit are clipped, so that one
# field cannot dominate a mean profile.
_CUT = 500.0
# Tolerated fraction of missing values, pycytominer's default.
_MISSING = 0.05

FittedOn = Literal["pooled", "controls"]


@dataclass(frozen=True)
class Recipe:
    """Normalisation and feature selection of profiles.

    Attributes
    ----------
    name
        Name in tables.
    fitted_on
        ``pooled``: everything on real and generated rows together, over all cell types.
        ``controls``: centre and scale on the real negative controls of the same cell type (on all
        its real rows if there are too few), features and principal components on all real rows.
    method
        Normalisation method.
    before, after
        Selections on raw and on normalised features.
    components
        Number of principal components for classification, clustering and neighbours; None to use
        features.
    """

    name: str
    fitted_on: FittedOn
    method: Method
    before: tuple[Selection, ...]
    after: tuple[Selection, ...]
    components: int | None = None


def morphgen_recipe(variance: Literal["before", "after"] = "before") -> Recipe:
    r"""MorphGen's recipe: z-score, variance above 1e-5, \|r\| below 0.7, 32 principal components.

    Parameters
    ----------
    variance
        Apply the variance threshold before standardising (the paper's section 4.4; 2,533 features
        became 878) or after it (its appendix G.2), where every variance is 1 and nothing is
        removed.

    Notes
    -----
    The paper does not say over which rows it standardises; its figures show both kinds in one
    space, hence pooled. Nor does it say which of two correlated features is dropped: as in
    pycytominer, the one more correlated with all others.
    """
    if variance not in ("before", "after"):
        raise ConfigError(f"the variance threshold stands before or after, not {variance}")
    low = Selection("variance_threshold", 1e-5)
    missing = Selection("drop_na_columns", _MISSING)
    correlation = Selection("absolute_correlation", 0.7)
    early = variance == "before"
    before = (missing, low) if early else (missing,)
    after = (correlation,) if early else (low, correlation)
    return Recipe("morphgen", "pooled", "standardize", before, after, components=32)


RECIPES: Mapping[str, Recipe] = {
    # The released code of March 2026; its pycytominer's variance_threshold is now
    # frequency_threshold.
    "morphodiff": Recipe(
        "morphodiff",
        "pooled",
        "standardize",
        before=(Selection("drop_na_columns", _MISSING),),
        after=(
            Selection("frequency_threshold"),
            Selection("drop_na_columns", _MISSING),
            Selection("blocklist"),
            Selection("drop_outliers", 500),
            Selection("correlation_threshold", 0.9),
        ),
    ),
    "morphgen": morphgen_recipe(),
    "fixed": Recipe(
        "fixed",
        "controls",
        "mad_robustize",
        before=(Selection("drop_na_columns", _MISSING), Selection("positions")),
        after=(
            Selection("blocklist"),
            Selection("drop_outliers", 500),
            Selection("absolute_correlation", 0.9),
        ),
    ),
}
"""Recipes by name: the papers' and the unbiased one."""


@dataclass(frozen=True)
class Step:
    """Number of features before and after a step."""

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Prepared:
    """Profiles after a recipe.

    Attributes
    ----------
    keys
        Metadata of each field, without the prefix ``Metadata_``; [n] rows.
    values
        float64 [n, d]: the selected features, normalised.
    features
        Their d names.
    scores
        float64 [n, k]: principal components.
    counts
        int64 [n]: nuclei of each field.
    without_cells
        Number of excluded fields without cells.
    imputed
        Fraction of values that were missing and set to the centre.
    cut
        Number of values clipped at ±500 units.
    """

    keys: pd.DataFrame
    values: npt.NDArray[np.float64] = field(repr=False)
    features: list[str] = field(repr=False)
    scores: npt.NDArray[np.float64] = field(repr=False)
    counts: npt.NDArray[np.int64] = field(repr=False)
    without_cells: int
    imputed: float
    cut: int

    def __len__(self) -> int:
        """Number of fields."""
        return len(self.keys)

    def select(self, rows: npt.ArrayLike) -> "Prepared":
        """Select rows by a boolean mask [n] or by position."""
        chosen: npt.NDArray[Any] = np.asarray(rows)
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.intp)
        return Prepared(
            self.keys.iloc[positions].reset_index(drop=True),
            self.values[positions],
            self.features,
            self.scores[positions],
            self.counts[positions],
            self.without_cells,
            self.imputed,
            self.cut,
        )


@dataclass(frozen=True)
class FittedRecipe:
    """A recipe after its fit.

    Attributes
    ----------
    recipe
        The recipe.
    normaliser
        Centre and scale of the features before the last selections.
    features
        The selected features.
    pca
        Principal components of the selected features.
    steps
        Numbers of features before and after each step.
    fitted_on
        Description and number of the rows behind centre and scale.
    """

    recipe: Recipe
    normaliser: Normaliser
    features: list[str]
    pca: PCA
    steps: list[Step]
    fitted_on: str

    def transform(self, profiles: pd.DataFrame) -> Prepared:
        """Apply the recipe to profiles; fields without cells are excluded."""
        there = profiles[cell_counts(profiles) > 0].reset_index(drop=True)
        values = self.normaliser.transform(there)[self.features].to_numpy(np.float64)
        values, imputed, cut = _filled(values)
        metadata = [name for name in there if name.startswith(METADATA)]
        return Prepared(
            there[metadata].rename(columns=lambda name: name.removeprefix(METADATA)),
            values,
            self.features,
            self.pca.transform(values) if len(values) else np.empty((0, self.pca.n_components_)),
            cell_counts(there).to_numpy(),
            len(profiles) - len(there),
            imputed,
            cut,
        )


def _filled(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], float, int]:
    """Set missing values to the centre and clip extreme ones; also return their numbers."""
    missing = np.isnan(values)
    cut = int((np.abs(values) > _CUT).sum())
    share = float(missing.mean()) if values.size else 0.0
    return np.clip(np.where(missing, 0.0, values), -_CUT, _CUT), share, cut


def fit_recipe(
    recipe: Recipe,
    real: pd.DataFrame,
    generated: pd.DataFrame,
    *,
    per_plate: bool = False,
    minimum_controls: int = MINIMUM_CONTROLS,
) -> FittedRecipe:
    """Fit a recipe.

    Parameters
    ----------
    recipe
        Defines the rows to fit on.
    real, generated
        Profiles of fields. From generated ones, a recipe that fits on real images only uses which
        features are missing.
    per_plate
        Normalise real fields per plate, see `morphpipe.morphology.normalisation.fit_normaliser`;
        only for recipes that fit on real images.
    minimum_controls
        Minimum negative controls per cell type for a scale.

    Raises
    ------
    ConfigError
        If plates are requested with a pooled recipe.
    DataError
        If there are too few fields with cells, or no feature is left.
    """
    pooled = recipe.fitted_on == "pooled"
    if per_plate and pooled:
        raise ConfigError(
            f"the recipe {recipe.name} normalises real and generated images together, which have "
            "no plates in common: choose the recipe 'fixed' to normalise per plate"
        )
    both = [part[cell_counts(part) > 0].reset_index(drop=True) for part in (real, generated)]
    if min(len(both[0]), len(both[1])) == 0 or len(both[0]) < 2:
        raise DataError(
            f"{len(both[0])} real and {len(both[1])} generated fields have cells: morphology "
            "cannot be compared"
        )
    rows = pd.concat(both, ignore_index=True) if pooled else both[0]
    measured = [feature_columns(part) for part in (real, generated)]
    in_both = set(measured[0]) & set(measured[1])
    features = [name for name in measured[0] if name in in_both]
    steps = [Step("measured in both", len(set(measured[0]) | set(measured[1])), len(features))]

    def apply(selections: tuple[Selection, ...], judged: pd.DataFrame) -> None:
        nonlocal features
        for selection in selections:
            before = len(features)
            features = select_features(judged, features, selection)
            steps.append(Step(str(selection), before, len(features)))

    apply(recipe.before, rows)
    if not pooled:
        before = len(features)
        features = select_features(both[1], features, Selection("drop_na_columns", _MISSING))
        steps.append(Step("drop_na_columns in generated images", before, len(features)))
    basis, words = (rows, "real and generated fields") if pooled else _basis(rows, minimum_controls)
    levels = [] if pooled else [CELL_TYPE, *([PLATE] if per_plate else [])]
    normaliser = fit_normaliser(
        basis, features, recipe.method, levels=levels, minimum_rows=minimum_controls
    )
    normalised = normaliser.transform(rows)
    before = len(features)
    lost = set(normaliser.without_spread)
    features = [name for name in features if name not in lost]
    steps.append(Step(recipe.method, before, len(features)))
    if not features:
        raise DataError(f"no feature varies between {len(basis)} {words}: take more fields")
    apply(recipe.after, normalised)
    values, _, _ = _filled(normalised[features].to_numpy(np.float64))
    number = min(recipe.components or 32, len(values) - 1, len(features))
    # A fixed solver: the default depends on the shape.
    pca = PCA(n_components=max(number, 1), svd_solver="full").fit(values)
    return FittedRecipe(recipe, normaliser, features, pca, steps, f"{len(basis)} {words}")


def _basis(real: pd.DataFrame, minimum: int) -> tuple[pd.DataFrame, str]:
    controls = real[real[f"{METADATA}control"] == "negative"]
    number = controls.groupby(CELL_TYPE[0]).size()
    fewest = int(number.reindex(real[CELL_TYPE[0]].unique(), fill_value=0).min())
    if fewest >= minimum:
        return controls, "real negative controls"
    return real, f"real fields of all kinds ({fewest} negative controls of a cell type are too few)"
