"""Features from their tables, joined with what is known of each image."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from morphpipe.datasets.fields import read_fields
from morphpipe.encoders.feature_table import read_features
from morphpipe.errors import DataError
from morphpipe.evaluation.feature_set import KEY_COLUMNS, FeatureSet


def load_feature_set(features: Sequence[str | Path], fields: Sequence[str | Path]) -> FeatureSet:
    """Join feature tables with field tables.

    Parameters
    ----------
    features
        Feature tables of one encoder and view; only untransformed images are taken.
    fields
        Field tables (Parquet or image archives) that hold all of these images.

    Raises
    ------
    DataError
        When an image stands in no field table.
    """
    table = read_features(features)
    keys = pd.concat([read_fields(path).keys() for path in fields], ignore_index=True)
    keys = keys.set_index("field_id")
    plain = table.transforms == 0
    ids = [i for i, keep in zip(table.field_ids, plain, strict=True) if keep]
    missing = set(ids) - set(keys.index)
    if missing:
        raise DataError(
            f"{len(missing)} images with features stand in no field table, among them "
            f"{sorted(missing)[0]!r}: delete the feature tables and make them again."
        )
    rows = keys.loc[ids].reset_index()
    return FeatureSet(
        rows[KEY_COLUMNS],
        table.features[plain],
        table.extraction.extractor,
        table.extraction.view,
    )
