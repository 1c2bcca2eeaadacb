r"""Recipes: how profiles are normalised and features chosen before anything is compared.

The two papers normalise over real and generated profiles pooled. That leaks the difference that
is to be measured into the unit that it is measured in. Let a feature have the standard deviation
s within each of two equally large sets, and let their means lie d apart: the pooled deviation is
sqrt(s^2 + d^2/4), and in its units the means differ by d / sqrt(s^2 + d^2/4), which never exceeds
2, however wrong the generated images are. Selecting features on the pooled rows goes the same
way: features that are wrong together are correlated through the difference alone and go as
redundant, and ``drop_outliers`` drops the most deviant. On a synthetic
screen of 31 features, generated profiles that are off by 6 (by 24) deviations of the real controls
are that far away by the recipe ``fixed``; by MorphoDiff's 1.7 (1.4), on the 10 (2) features that it
leaves, and by MorphGen's 1.4 (1.4), on 3 (2). ``fixed`` fits everything on real images and applies
it to both.
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

# A median absolute deviation of fewer than these is too rough a unit: its relative standard
# error is about 1.17 / sqrt(n), a quarter at twenty.
MINIMUM_CONTROLS = 20
# pycytominer's threshold of drop_outliers; values that images outside the fit have beyond it are
# cut there, lest one field decide about a mean profile.
_CUT = 500.0
# Missing values that are tolerated in a feature, pycytominer's default.
_MISSING = 0.05

FittedOn = Literal["pooled", "controls"]


@dataclass(frozen=True)
class Recipe:
    """How profiles are made comparable.

    Attributes
    ----------
    name
        In tables.
    fitted_on
        ``pooled``: everything on real and generated rows together, whatever their cell type.
        ``controls``: centre and scale on the real negative controls of the same cell type (on all
        real rows of it where they are too few), features and principal components on all real
        rows.
    method
        Of normalisation.
    before, after
        Selections on raw and on normalised features.
    components
        Principal components that stand for the features in classification, clustering and
        neighbours; None for the features themselves.
    """

    name: str
    fitted_on: FittedOn
    method: Method
    before: tuple[Selection, ...]
    after: tuple[Selection, ...]
    components: int | None = None


def morphgen_recipe(variance: Literal["before", "after"] = "before") -> Recipe:
    r"""MorphGen's: z-score, variance above 1e-5, \|r\| below 0.7, 32 principal components.

    Parameters
    ----------
    variance
        Whether the threshold on the variance stands before standardising (the paper's section
        4.4; 2,533 features became 878) or after it (its appendix G.2). After it every variance is
        1, and the threshold removes nothing.

    Notes
    -----
    Over which rows the paper standardises is not said; its figures show both kinds in one space,
    hence pooled. Which of two correlated features goes is not said either: as in pycytominer,
    the one that is more correlated with all others.
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
    # The released code of March 2026; its pycytominer called by variance_threshold what has become
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
"""By name: the papers' own, and the one that is right."""


@dataclass(frozen=True)
class Step:
    """How many features stood before and after a step of a recipe."""

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Prepared:
    """Profiles after a recipe.

    Attributes
    ----------
    keys
        What is known of each field, without the prefix ``Metadata_``; [n] rows.
    values
        float64 [n, d]: the selected features, normalised.
    features
        Their d names.
    scores
        float64 [n, k]: principal components.
    counts
        int64 [n]: nuclei of each field.
    without_cells
        Number of fields that were left out, since they have no cells.
    imputed
        Share of the values that could not be measured and were set to the centre.
    cut
        Number of values beyond ±500 units, which were cut there.
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
        """Give the number of fields."""
        return len(self.keys)

    def select(self, rows: npt.ArrayLike) -> "Prepared":
        """Take rows by a boolean mask [n] or by positions."""
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
        What was fitted.
    normaliser
        Centre and scale of the features that stood when it was fitted.
    features
        Those that were selected.
    pca
        Principal components of the selected features of the rows that were fitted on.
    steps
        Numbers of features before and after each step.
    fitted_on
        In words: the rows that centre and scale come from, and how many they are.
    """

    recipe: Recipe
    normaliser: Normaliser
    features: list[str]
    pca: PCA
    steps: list[Step]
    fitted_on: str

    def transform(self, profiles: pd.DataFrame) -> Prepared:
        """Apply it to any profiles; fields without cells are left out."""
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
    """Set missing values to the centre, cut extreme ones; with how many there were."""
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
        Says which rows of which kind are fitted on.
    real, generated
        Profiles of fields. Of generated ones a recipe that fits on real images sees one thing
        only: which features could not be measured, since those cannot be compared.
    per_plate
        Normalise real fields by their own plate, see
        `morphpipe.morphology.normalisation.fit_normaliser`; only where a recipe fits on real
        images.
    minimum_controls
        Fewer negative controls of a cell type than that are no basis for a scale.

    Raises
    ------
    ConfigError
        When plates are asked for with a pooled recipe.
    DataError
        When there are too few fields with cells, or no feature is left.
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
    # A fixed solver: the choice of the default depends on the shape.
    pca = PCA(n_components=max(number, 1), svd_solver="full").fit(values)
    return FittedRecipe(recipe, normaliser, features, pca, steps, f"{len(basis)} {words}")


def _basis(real: pd.DataFrame, minimum: int) -> tuple[pd.DataFrame, str]:
    """The real rows that centre and scale come from."""
    controls = real[real[f"{METADATA}control"] == "negative"]
    number = controls.groupby(CELL_TYPE[0]).size()
    fewest = int(number.reindex(real[CELL_TYPE[0]].unique(), fill_value=0).min())
    if fewest >= minimum:
        return controls, "real negative controls"
    return real, f"real fields of all kinds ({fewest} negative controls of a cell type are too few)"
