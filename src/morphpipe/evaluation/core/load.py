"""Feature tables joined with the metadata of their images."""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.evaluation.core.feature_set import KEY_COLUMNS, FeatureSet
from morphpipe.tables.archive import read_fields
from morphpipe.tables.feature_table import FeatureTable, read_extraction, read_features


def views_in(folder: str | Path) -> list[str]:
    """List the views with a feature table: whole images first, then channels in manifest order.

    Raises
    ------
    DataError
        If the folder contains no feature table.
    """
    tables = sorted(Path(folder).glob("*.parquet"))
    if not tables:
        raise DataError(f"{folder} contains no feature table: extract features first.")
    found = {path.stem for path in tables}
    return [v for v in ("all", "rgb", *read_extraction(tables[0]).channels) if v in found]


def load_feature_set(
    features: Sequence[str | Path],
    fields: Sequence[str | Path],
    wanted: Set[str] | None = None,
    *,
    needed: Set[str] | None = None,
    units: Literal["well", "site"] = "well",
) -> FeatureSet:
    """Join feature tables with field tables.

    Parameters
    ----------
    features
        Feature tables of one encoder and view; only untransformed images are used.
    fields
        Field tables (Parquet or image archives) that contain all of these images.
    wanted
        Ids of the images to load, all of which must have features. Other rows are not kept in
        memory, and tables without any of them are not read. None loads all images.
    needed
        If all images are loaded: ids of those that must have features; None for all images of the
        field tables.
    units
        Independent units of real images; with ``site`` each site takes the place of a well.

    Raises
    ------
    DataError
        If an image is missing from the field tables, a wanted or needed image has no features, or
        the tables were made with different settings.
    """
    table = (
        read_features(features, untransformed=True)
        if wanted is None
        else _read_wanted(features, wanted)
    )
    keys = pd.concat([_keys(path, wanted, units) for path in fields], ignore_index=True)
    keys = keys.set_index("field_id")
    ids = list(table.field_ids)
    missing = set(ids) - set(keys.index)
    if missing:
        named = next(path for path in features if not missing.isdisjoint(_ids(path)))
        raise DataError(
            f"{len(missing)} images with features are missing from every field table, for example "
            f"{min(missing & set(_ids(named)))!r} of {named}: the table has features of other "
            "images. Delete it and rerun the workflow."
        )
    if wanted is None:
        lacking = (set(keys.index) if needed is None else needed) - set(ids)
        if lacking:
            raise DataError(
                f"{len(lacking)} images have no features in "
                f"{features[0]}{' and the tables beside it' if len(features) > 1 else ''}, for "
                f"example {min(lacking)!r}: rows are missing, or the tables belong to other "
                "images. Delete them and rerun the workflow."
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


def _keys(path: str | Path, wanted: Set[str] | None, units: str) -> pd.DataFrame:
    table = read_fields(path).keys()
    keys = table[KEY_COLUMNS]
    if units == "site":
        # Of generated images both are null, and stay so.
        site = table["well"].astype("string") + " site " + table["site"].astype("string")
        keys = keys.assign(well=site)
    return keys if wanted is None else keys[keys["field_id"].isin(wanted)]


def _ids(path: str | Path) -> list[str]:
    return list(read_parquet(path, columns=["field_id"])["field_id"].to_pylist())


def _read_wanted(paths: Sequence[str | Path], wanted: Set[str]) -> FeatureTable:
    parts: list[FeatureTable] = []
    for path in paths:
        if wanted.isdisjoint(_ids(path)):
            continue
        table = read_features([path], untransformed=True)
        if parts and table.extraction != parts[0].extraction:
            raise DataError(
                f"{path} was made by {table.extraction}, other feature tables by "
                f"{parts[0].extraction}: delete the older ones and recompute them."
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
            f"{len(lacking)} images have no features{named}: compute their features first."
        )
    return FeatureTable(
        tuple(i for part in parts for i in part.field_ids),
        np.concatenate([part.transforms for part in parts]),
        np.concatenate([part.features for part in parts]),
        parts[0].extraction,
    )
