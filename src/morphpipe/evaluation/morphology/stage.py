"""Morphology evaluation: from tables of profiles to tables of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from morphpipe.core.errors import ConfigError
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.morphology.comparison import compare_morphology
from morphpipe.evaluation.morphology.differences import difference_table
from morphpipe.evaluation.morphology.sets import MorphologySettings
from morphpipe.evaluation.morphology.tables import joined_scores
from morphpipe.morphology.profiles import Profiles, read_profiles
from morphpipe.morphology.recipes import RECIPES, Recipe
from morphpipe.tables.metric_table import metric_table
from morphpipe.tables.schemas import CORRELATION_SCHEMA


def evaluate_morphology(
    *,
    real: Sequence[str | Path],
    generated: Sequence[str | Path],
    split: str | Path | None,
    recipes: Sequence[str | Recipe],
    context: Mapping[str, Any],
    metrics: str | Path,
    differences: str | Path,
    correlations: str | Path,
    scores: str | Path,
    settings: MorphologySettings,
    per_plate: bool = False,
) -> None:
    """Compare the morphology of generated and held-out real fields, and write the tables.

    Parameters
    ----------
    real, generated
        Tables of profiles (`morphpipe.morphology.profiles.write_profiles`).
    split
        Split table: side ``test`` is held out; measured fields of side ``train`` are used for fits
        and classifiers. None treats all real fields as held out.
    recipes
        Names in `morphpipe.morphology.recipes.RECIPES`, or recipes.
    context
        The columns dataset, experiment and generator of the metric table.
    metrics, differences, correlations, scores
        Parquet files to write: `METRIC_SCHEMA`, `DIFFERENCE_SCHEMA`, `CORRELATION_SCHEMA`,
        `SCORE_SCHEMA`.
    settings, per_plate
        See `compare_morphology`.

    Raises
    ------
    ConfigError
        If a recipe is unknown.
    DataError
        If the profiles do not match or are too few.
    """
    chosen = [_recipe(name) for name in recipes]
    of_real, of_generated = read_profiles(real), read_profiles(generated)
    training, shared = None, False
    if split is not None:
        sides = read_split(split)
        test, train = set(fields_on(sides, "test")), set(fields_on(sides, "train"))
        shared = bool(test & train)
        training = _on_side(of_real, train)
        of_real = _on_side(of_real, test)
        training = training if len(training) else None
    tables = compare_morphology(
        of_real,
        of_generated,
        training,
        recipes=chosen,
        context=context,
        settings=settings,
        per_plate=per_plate,
        shared_wells=shared,
    )
    write_parquet(metric_table(tables.rows), metrics)
    write_parquet(difference_table(tables.differences), differences)
    write_parquet(
        pa.concat_tables([CORRELATION_SCHEMA.empty_table(), *tables.correlations]), correlations
    )
    write_parquet(joined_scores(tables.scores, tables.explained), scores)


def _recipe(name: str | Recipe) -> Recipe:
    if isinstance(name, Recipe):
        return name
    if name not in RECIPES:
        raise ConfigError(f"unknown profile recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]


def _on_side(profiles: Profiles, field_ids: set[str]) -> Profiles:
    rows = profiles.table["Metadata_field_id"].isin(field_ids)
    return Profiles(profiles.table[rows].reset_index(drop=True), profiles.source, profiles.failed)
