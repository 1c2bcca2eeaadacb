"""Tables for morphology figures: feature correlations and PCA scores."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from morphpipe.evaluation.morphology.correlation import correlation_matrix
from morphpipe.evaluation.morphology.sets import MorphologySets
from morphpipe.morphology.recipes import FittedRecipe, Prepared
from morphpipe.tables.schemas import CORRELATION_SCHEMA, SCORE_SCHEMA, SCORES, SCORES_KEY


def correlation_table(sets: MorphologySets, features: Sequence[str], **seeds: Any) -> pa.Table:
    """Tabulate correlations of the PCA-selected features of real and generated fields.

    Parameters
    ----------
    features
        Names of all selected features.
    **seeds
        training_seed and sampling_seed.

    Returns
    -------
    pyarrow.Table
        `CORRELATION_SCHEMA`: all pairs in both orders, including self-pairs.
    """
    matrices = [
        correlation_matrix(part.images.features[:, sets.top])
        for part in (sets.real, sets.generated)
    ]
    rows = []
    for a, first in enumerate(sets.top):
        for b, second in enumerate(sets.top):
            real, generated = (
                float(matrix[a, b]) if np.isfinite(matrix[a, b]) else None for matrix in matrices
            )
            rows.append(
                {
                    "recipe": sets.columns["view"],
                    **seeds,
                    "rank_a": a + 1,
                    "rank_b": b + 1,
                    "feature_a": features[first],
                    "feature_b": features[second],
                    "real": real,
                    "generated": generated,
                }
            )
    return pa.Table.from_pylist(rows, schema=CORRELATION_SCHEMA)


def score_table(parts: Sequence[Prepared], fitted: FittedRecipe, **seeds: Any) -> pa.Table:
    """Tabulate the first principal components of real and generated fields.

    Parameters
    ----------
    parts
        Prepared real or generated fields.
    fitted
        The recipe that prepared them.
    **seeds
        training_seed and sampling_seed.

    Returns
    -------
    pyarrow.Table
        `SCORE_SCHEMA`; missing components are null.
    """
    tables = []
    for part in parts:
        frame = part.keys.assign(recipe=fitted.recipe.name, **seeds)
        for place, name in enumerate(SCORES):
            there = place < part.scores.shape[1]
            frame[name] = part.scores[:, place] if there else np.nan
        columns = {
            field.name: pa.array(frame[field.name], field.type, from_pandas=True)
            for field in SCORE_SCHEMA
        }
        tables.append(pa.table(columns, schema=SCORE_SCHEMA))
    return pa.concat_tables(tables)


def joined_scores(tables: Sequence[pa.Table], explained: Sequence[dict[str, Any]]) -> pa.Table:
    """Concatenate score tables, with the explained variance in the metadata."""
    whole = pa.concat_tables([SCORE_SCHEMA.empty_table(), *tables])
    return whole.replace_schema_metadata({SCORES_KEY: json.dumps(list(explained)).encode()})


def explained_variance(fitted: FittedRecipe, **seeds: Any) -> dict[str, Any]:
    """Fraction of the fitted rows' variance that each of the first components explains."""
    shares = [float(share) for share in fitted.pca.explained_variance_ratio_[: len(SCORES)]]
    return {"recipe": fitted.recipe.name, **seeds, "explained_variance": shares}


def profiles_of(table: pd.DataFrame, field_ids: pd.Series, features: Sequence[str]) -> np.ndarray:
    """Raw features of the given fields, in their order: float64 [n, d]."""
    rows = table.set_index("Metadata_field_id").loc[field_ids, list(features)]
    return rows.to_numpy(np.float64)
