"""Features from their tables, joined with what is known of each image."""

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.core.feature_set import KEY_COLUMNS, FeatureSet
from morphpipe.tables.archive import read_fields
from morphpipe.tables.feature_table import FeatureTable, read_extraction, read_features


def views_in(folder: str | Path) -> list[str]:
    """Views with a feature table: whole images first, then channels in the manifest's order.

    Raises
    ------
    DataError
        If the folder has no feature table.
    """
    tables = sorted(Path(folder).glob("*.parquet"))
    if not tables:
        raise DataError(f"There is no feature table in the folder {folder}: make them first.")
    found = {path.stem for path in tables}
    return [v for v in ("all", "rgb", *read_extraction(tables[0]).channels) if v in found]


def load_feature_set(
    features: Sequence[str | Path],
    fields: Sequence[str | Path],
    wanted: Set[str] | None = None,
    *,
    needed: Set[str] | None = None,
) -> FeatureSet:
    """Join feature tables with field tables.

    Parameters
    ----------
    features
        Feature tables of one encoder and view; only untransformed images are taken.
    fields
        Field tables (Parquet or image archives) that hold all of these images.
    wanted
        Ids of the images to take, all of which must have features. The others are not kept in
        memory, and tables without any of them are not read. None takes all images.
    needed
        Where all images are taken: ids of those that must have features. None: all that stand in
        the field tables.

    Raises
    ------
    DataError
        When an image stands in no field table, one that is wanted or needed has no features, or
        the tables were made in different ways.
    """
    table = (
        read_features(features, untransformed=True)
        if wanted is None
        else _read_wanted(features, wanted)
    )
    keys = pd.concat([_keys(path, wanted) for path in fields], ignore_index=True)
    keys = keys.set_index("field_id")
    ids = list(table.field_ids)
    missing = set(ids) - set(keys.index)
    if missing:
        named = next(path for path in features if not missing.isdisjoint(_ids(path)))
        raise DataError(
            f"{len(missing)} images with features stand in no field table, among them "
            f"{min(missing & set(_ids(named)))!r} of {named}: it has the features of other images. "
            "Delete it and let the workflow make it again."
        )
    if wanted is None:
        lacking = (set(keys.index) if needed is None else needed) - set(ids)
        if lacking:
            raise DataError(
                f"{len(lacking)} images have no features in {features[0]}"
                f"{' and the tables beside it' if len(features) > 1 else ''}, among them "
                f"{min(lacking)!r}: rows are missing, or the tables are those of other images. "
                "Delete them and let the workflow make them again."
            )
    rows = keys.loc[ids].reset_index()
    return FeatureSet(
        rows[KEY_COLUMNS],
        table.features,
        table.extraction.extractor,
        table.extraction.view,
        table.extraction,
        str(features[0]),
    )


def _keys(path: str | Path, wanted: Set[str] | None) -> pd.DataFrame:
    keys = read_fields(path).keys()[KEY_COLUMNS]
    return keys if wanted is None else keys[keys["field_id"].isin(wanted)]


def _ids(path: str | Path) -> list[str]:
    return list(read_parquet(path, columns=["field_id"])["field_id"].to_pylist())


def _read_wanted(paths: Sequence[str | Path], wanted: Set[str]) -> FeatureTable:
    """The untransformed rows of some images, file by file."""
    parts: list[FeatureTable] = []
    for path in paths:
        if wanted.isdisjoint(_ids(path)):
            continue
        table = read_features([path], untransformed=True)
        if parts and table.extraction != parts[0].extraction:
            raise DataError(
                f"{path} was made by {table.extraction}, other feature tables by "
                f"{parts[0].extraction}: delete the older ones and make them again."
            )
        chosen = np.array([i in wanted for i in table.field_ids], dtype=bool)
        ids = tuple(i for i, keep in zip(table.field_ids, chosen, strict=True) if keep)
        parts.append(
            FeatureTable(ids, table.transforms[chosen], table.features[chosen], table.extraction)
        )
    lacking = wanted - {i for part in parts for i in part.field_ids}
    if lacking or not parts:
        named = f", among them {min(lacking)!r}" if lacking else ""
        raise DataError(
            f"{len(lacking)} images have no features{named}: make their feature tables first."
        )
    return FeatureTable(
        tuple(i for part in parts for i in part.field_ids),
        np.concatenate([part.transforms for part in parts]),
        np.concatenate([part.features for part in parts]),
        parts[0].extraction,
    )
