"""All morphology measures per recipe and pair of seeds, also matched for cell count."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.floor import Averaged, split_halves
from morphpipe.evaluation.core.matching import match_sets
from morphpipe.evaluation.morphology.agreement import feature_correlation_rows
from morphpipe.evaluation.morphology.correlation import top_features
from morphpipe.evaluation.morphology.differences import feature_differences
from morphpipe.evaluation.morphology.intervals import interval_columns
from morphpipe.evaluation.morphology.labels import (
    classification_rows,
    clustering_rows,
    mechanism_rows,
)
from morphpipe.evaluation.morphology.profile_correlation import profile_correlation_rows
from morphpipe.evaluation.morphology.sets import (
    EXTRACTOR,
    MorphologySets,
    MorphologySettings,
    Side,
    mechanisms_of,
    shared_conditions,
    side,
)
from morphpipe.evaluation.morphology.tables import (
    correlation_table,
    explained_variance,
    profiles_of,
    score_table,
)
from morphpipe.morphology.feature_names import is_position
from morphpipe.morphology.profiles import Profiles, feature_columns
from morphpipe.morphology.recipes import FittedRecipe, Prepared, Recipe, fit_recipe
from morphpipe.tables.metric_table import metric_row

# Minimum real and generated fields for a comparison.
_MINIMUM = 4


@dataclass
class MorphologyTables:
    """Results of a morphology comparison.

    Attributes
    ----------
    rows
        Rows of the metric table.
    differences
        Parts for `morphpipe.evaluation.morphology.differences.difference_table`.
    correlations, scores
        Parts of the tables of `morphpipe.evaluation.morphology.tables`.
    explained
        Explained variance of the principal components.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    differences: list[pd.DataFrame] = field(default_factory=list)
    correlations: list[pa.Table] = field(default_factory=list)
    scores: list[pa.Table] = field(default_factory=list)
    explained: list[dict[str, Any]] = field(default_factory=list)


def compare_morphology(
    real: Profiles,
    generated: Profiles,
    training: Profiles | None,
    *,
    recipes: Sequence[Recipe],
    context: Mapping[str, Any],
    settings: MorphologySettings,
    per_plate: bool = False,
    shared_wells: bool = False,
) -> MorphologyTables:
    """Compare generated and real profiles for every recipe and pair of seeds.

    Parameters
    ----------
    real
        Held-out real fields.
    generated
        Generated fields.
    training
        Real fields of other wells, to fit recipes and train classifiers on. None uses the held-out
        fields for recipes and part of their wells for classifiers.
    recipes
        See `morphpipe.morphology.recipes`.
    context
        The columns dataset, experiment and generator of the metric table.
    per_plate
        Normalise real fields per plate in recipes that fit on real images.
    shared_wells
        Allow training and held-out fields to share wells, for data too small to be split.

    Raises
    ------
    DataError
        If the profiles were measured differently, have the wrong origin, or are too few.
    """
    _check(real, generated, training)
    measured = set(feature_columns(generated.table))
    features = [
        name for name in feature_columns(real.table) if name in measured and not is_position(name)
    ]
    mechanisms = mechanisms_of(*(part.table for part in (real, training) if part is not None))
    tables = MorphologyTables()
    for place, recipe in enumerate(recipes):
        for seeds, images in _by_seed(generated.table):
            columns = {**context, **seeds, "extractor": EXTRACTOR, "view": recipe.name}
            try:
                prepared = _prepare(real, generated, images, training, recipe, per_plate=per_plate)
                sets = _sets(prepared, mechanisms, columns, settings)
            except DataError as error:
                # Images without cells, for example, are a result and not an error.
                tables.rows.append(
                    metric_row(
                        **columns, metric="selected_features", settings={"reason": str(error)}
                    )
                )
                continue
            matched = sets.matched_for_cell_count()
            tables.rows += _preparation_rows(prepared, sets, matched)
            if place == 0:
                tables.differences += _differences(real, generated, sets, features, seeds)
            shown = [prepared.real, prepared.generated]
            tables.scores.append(score_table(shown, prepared.fitted, **seeds))
            tables.explained.append(explained_variance(prepared.fitted, **seeds))
            for variant in (sets, matched):
                if min(len(variant.real), len(variant.generated)) < _MINIMUM:
                    continue
                tables.rows += feature_correlation_rows(variant)
                tables.rows += profile_correlation_rows(variant)
                tables.rows += clustering_rows(variant)
                tables.rows += mechanism_rows(variant)
                tables.rows += classification_rows(variant, shared_wells=shared_wells)
                tables.correlations.append(
                    correlation_table(variant, prepared.fitted.features, **seeds)
                )
    return tables


@dataclass(frozen=True)
class _Prepared:
    """Profiles after one recipe, and the numbers of real and generated fields that failed."""

    fitted: FittedRecipe
    real: Prepared
    generated: Prepared
    training: Prepared | None
    failed: tuple[int, int]


def _prepare(
    real: Profiles,
    generated: Profiles,
    images: pd.DataFrame,
    training: Profiles | None,
    recipe: Recipe,
    *,
    per_plate: bool,
) -> _Prepared:
    """Fit a recipe and apply it; `images` are the generated fields of one pair of seeds."""
    if recipe.fitted_on == "pooled":
        # Fitted per pair of seeds: together they would outweigh the real fields.
        fitted = fit_recipe(recipe, real.table, images)
    else:
        # Shared by all pairs of seeds.
        fit_on = real if training is None else training
        fitted = fit_recipe(recipe, fit_on.table, generated.table, per_plate=per_plate)
    return _Prepared(
        fitted,
        fitted.transform(real.table),
        fitted.transform(images),
        None if training is None else fitted.transform(training.table),
        (real.failed, generated.failed),
    )


def _check(real: Profiles, generated: Profiles, training: Profiles | None) -> None:
    expected = [(real, "real"), (generated, "generated")]
    if training is not None:
        expected.append((training, "real"))
    for profiles, origin in expected:
        if profiles.source != real.source:
            raise DataError(
                "real and generated fields were measured differently (pipeline, channels or "
                "version of CellProfiler): use the same settings"
            )
        strange = profiles.table[profiles.table["Metadata_origin"] != origin]
        if len(strange):
            raise DataError(
                f"{strange['Metadata_field_id'].iloc[0]} is not {origin}, but is among the "
                f"{origin} profiles"
            )


def _by_seed(table: pd.DataFrame) -> Iterator[tuple[dict[str, int | None], pd.DataFrame]]:
    names = ["training_seed", "sampling_seed"]
    seeds = [table[f"Metadata_{name}"].astype("Int64") for name in names]
    for key, part in table.groupby(seeds, dropna=False, sort=True):
        values = [None if pd.isna(seed) else int(seed) for seed in key]
        yield dict(zip(names, values, strict=True)), part.reset_index(drop=True)


def _sets(
    prepared: _Prepared,
    mechanisms: Mapping[str, str],
    columns: Mapping[str, Any],
    settings: MorphologySettings,
) -> MorphologySets:
    fitted = prepared.fitted
    real, generated = (
        side(part, fitted, mechanisms) for part in (prepared.real, prepared.generated)
    )
    real, generated = shared_conditions(real, generated, generated.images)
    if min(len(real), len(generated)) < _MINIMUM:
        raise DataError(
            f"{len(real)} real and {len(generated)} generated fields of shared conditions have "
            f"cells, fewer than {_MINIMUM}"
        )
    training = None
    if prepared.training is not None:
        training = side(prepared.training, fitted, mechanisms)
        training, _ = shared_conditions(training, generated, generated.images)
    pca = fitted.pca
    return MorphologySets(
        real,
        generated,
        training,
        top_features(pca.components_, pca.explained_variance_),
        fitted.recipe.fitted_on == "controls",
        columns,
        settings,
    )


def _preparation_rows(
    prepared: _Prepared, sets: MorphologySets, matched: MorphologySets
) -> list[dict[str, Any]]:
    fitted = prepared.fitted
    whole: dict[str, Any] = {"cell_type": "all", "perturbation": "all"}
    rows = [
        sets.row(
            "selected_features",
            len(fitted.features),
            n_left=len(prepared.generated),
            n_right=len(prepared.real),
            settings={
                "steps": [[step.name, step.before, step.after] for step in fitted.steps],
                "fitted_on": fitted.fitted_on,
                "normalisation": fitted.recipe.method,
                "normalised_by": [
                    [
                        ", ".join(column.removeprefix("Metadata_") for column in level.columns),
                        len(level.fits),
                    ]
                    for level in fitted.normaliser.levels
                ],
                "components": int(fitted.pca.n_components_) if fitted.recipe.components else None,
            },
            **whole,
        )
    ]
    for name, part, of, alike, failed in (
        ("real", prepared.real, sets.real, matched.real, prepared.failed[0]),
        ("generated", prepared.generated, sets.generated, matched.generated, prepared.failed[1]),
    ):
        notes = {"failed": failed, "imputed_share": part.imputed, "values_cut_at_500": part.cut}
        columns = {**whole, "comparison": name}
        rows.append(
            sets.row(
                "fields_without_cells",
                part.without_cells,
                n_left=len(part) + part.without_cells,
                settings=notes,
                **columns,
            )
        )
        for variant, fields in ((sets, of), (matched, alike)):
            if len(fields):
                rows.append(mean_count_row(variant, fields, columns))
    if len(matched.real) < _MINIMUM:
        reason = (
            f"{len(matched.real)} generated fields have a real one of the same condition and cell "
            "count: nothing can be matched for cell count"
        )
        rows.append(
            matched.row(
                "profile_correlation",
                None,
                comparison="generated-real",
                settings={"reason": reason},
                **whole,
            )
        )
    return rows


def mean_count_row(
    sets: MorphologySets, fields: Side, columns: Mapping[str, Any]
) -> dict[str, Any]:
    """Mean number of nuclei per field, with its interval over wells."""
    mean, size = float(fields.counts.mean()), len(fields)
    contributions = (fields.counts - mean)[None] / size
    result = Averaged(np.array([mean]), np.zeros((1, 0)), contributions)
    notes: dict[str, Any] = {}
    interval = interval_columns(sets, [(1.0, result, None, fields.images)], notes, (0.0, np.inf))
    return sets.row("mean_cell_count", mean, n_left=size, settings=notes, **{**columns, **interval})


def _differences(
    real: Profiles,
    generated: Profiles,
    sets: MorphologySets,
    features: Sequence[str],
    seeds: Mapping[str, int | None],
) -> list[pd.DataFrame]:
    parts = []

    def add(kind: str, matched: str, left: Side, right: Side, of_left: Profiles) -> None:
        """Compare the (real) fields on the right with those on the left."""
        frame = feature_differences(
            profiles_of(real.table, right.images.keys["field_id"], features),
            profiles_of(of_left.table, left.images.keys["field_id"], features),
            features,
            real.source.channels,
        )
        own = seeds if kind == "generated-real" else dict.fromkeys(seeds)
        parts.append(frame.assign(comparison=kind, matched=matched, **own))

    for matched in ("condition", "cell count"):
        counts = (sets.real.counts, sets.generated.counts) if matched == "cell count" else None
        rows = match_sets(
            sets.real.images,
            sets.generated.images,
            counts=counts,
            bins=sets.settings.count_bins,
            seed=sets.settings.seed,
        )
        if min(map(len, rows)) < _MINIMUM:
            continue
        chosen, drawn = sets.real.select(rows[0]), sets.generated.select(rows[1])
        add("generated-real", matched, drawn, chosen, generated)
        try:
            split_half = split_halves(
                chosen.images, repeats=1, at_most=len(drawn), seed=sets.settings.seed
            )[0]
        except DataError:
            continue
        halves = chosen.select(split_half.first), chosen.select(split_half.second)
        add("real-real", matched, *halves, real)
    return parts
