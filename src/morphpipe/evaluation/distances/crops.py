"""Distances between single-cell crops of generated and real fields (MorphoDiff, table 2).

Measures, floor and controls are those of whole fields. Crops are not independent: the floor is
split by well, and intervals are over wells and generated fields.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from morphpipe.config.experiments import Evaluation
from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.load import load_feature_set, views_in
from morphpipe.evaluation.core.subsample import thinned
from morphpipe.evaluation.distances.rows import MEASURE, distance_rows
from morphpipe.tables.archive import read_fields

# MorphoDiff's number of images per perturbation (section 3.2).
PER_CONDITION = 500
_CROP = re.compile(r"(?P<field>.+)_c\d{3,}")
_CONDITION = ["cell_type", "perturbation", "training_seed", "sampling_seed"]


@dataclass(frozen=True)
class CropInputs:
    """Inputs of the table of crop distances.

    Attributes
    ----------
    split
        Split table of the fields.
    real_crops, generated_crops
        Archives of crops from `morphpipe.datasets.preparation.crops.write_crops`.
    experiment, dataset, generator
        Names for the table.
    evaluation
        The experiment's `evaluation` as plain values.
    order, size
        How the crops were cut.
    real, generated
        Folders of feature tables of the crops, by encoder.
    per_condition
        Maximum crops per cell type and perturbation: of each pair of seeds, of training crops, and
        twice as many held-out crops, which the floor halves. A field holds dozens, and a kernel
        distance uses all pairs.
    """

    split: str
    real_crops: Sequence[str]
    generated_crops: Sequence[str]
    experiment: str
    dataset: str
    generator: str
    evaluation: Mapping[str, Any]
    order: str
    size: int
    real: Mapping[str, Sequence[str]]
    generated: Mapping[str, Sequence[str]]
    per_condition: int = PER_CONDITION


def field_of(crop_id: str) -> str:
    """Return the field that a crop was cut from.

    Raises
    ------
    DataError
        If the id does not belong to a crop.
    """
    match = _CROP.fullmatch(crop_id)
    if match is None:
        raise DataError(
            f"{crop_id!r} is not a crop id (a field id followed by _c and a number): pass archives "
            "of crops, not of fields."
        )
    return match["field"]


def draw_crops(
    archives: Iterable[str], fields: Set[str] | None, at_most: int, seed: int
) -> frozenset[str]:
    """Draw crops at random, up to the same number per condition and pair of seeds.

    Parameters
    ----------
    archives
        Archives of crops; only their tables are read, one at a time.
    fields
        Ids of the fields to draw from; None for all.
    at_most
        Maximum per cell type and perturbation.

    Returns
    -------
    frozenset
        The crops' ids.

    Raises
    ------
    DataError
        If no crop belongs to these fields, or an archive does not contain crops.
    """
    parts = []
    for path in archives:
        keys = read_fields(path).keys()[["field_id", *_CONDITION]]
        if fields is not None:
            keys = keys[keys["field_id"].map(field_of).isin(fields)]
        parts.append(_drawn(keys, at_most, seed))
    # A crop drawn from all is also drawn from its own archive.
    drawn = frozenset(_drawn(pd.concat(parts), at_most, seed)["field_id"])
    if not drawn:
        raise DataError("No crop belongs to a field on the required side of the split.")
    return drawn


def _drawn(keys: pd.DataFrame, at_most: int, seed: int) -> pd.DataFrame:
    condition = keys.groupby(_CONDITION, dropna=False).ngroup()
    return keys[thinned(keys["field_id"], condition, at_most, seed)]


def crop_sets(inputs: CropInputs) -> Iterator[tuple[FeatureSet, FeatureSet, FeatureSet]]:
    """Iterate over generated, held-out and training crops, by encoder and view.

    Views are named after the crops, e.g. "crop96 all", to distinguish their rows from those of
    fields.
    """
    seed, number = Evaluation.model_validate(inputs.evaluation).seed, inputs.per_condition
    sides = read_split(inputs.split)
    test, train = (frozenset(fields_on(sides, side)) for side in ("test", "train"))
    drawn = [
        (inputs.generated_crops, draw_crops(inputs.generated_crops, None, number, seed)),
        (inputs.real_crops, draw_crops(inputs.real_crops, test, 2 * number, seed)),
        (inputs.real_crops, draw_crops(inputs.real_crops, train, number, seed)),
    ]
    for encoder, folders in inputs.real.items():
        for view in views_in(inputs.generated[encoder][0]):
            places = [inputs.generated[encoder], folders, folders]
            generated, held_out, training = (
                _named(
                    load_feature_set([f"{folder}/{view}.parquet" for folder in of], archives, ids),
                    f"crop{inputs.size} {view}",
                )
                for of, (archives, ids) in zip(places, drawn, strict=True)
            )
            yield generated, held_out, training


def _named(crops: FeatureSet, view: str) -> FeatureSet:
    """Name the view after the crops; crops of a generated field become one unit."""
    keys = crops.keys
    if crops.is_generated:
        keys = keys.assign(well=keys["field_id"].map(field_of))
    return replace(crops, keys=keys, view=view)


def measure_crop_distances(inputs: CropInputs) -> list[dict[str, Any]]:
    """Measure Fréchet and kernel distances of crops, with floors and controls.

    Returns
    -------
    list of dict
        Rows of the metric table; their settings record how crops were cut and drawn.
    """
    evaluation = Evaluation.model_validate(inputs.evaluation)
    cut = {"order": inputs.order, "size": inputs.size, "per_condition": inputs.per_condition}
    rows: list[dict[str, Any]] = []
    for generated, test, train in crop_sets(inputs):
        rows += distance_rows(
            generated,
            test,
            train,
            context={
                "experiment": inputs.experiment,
                "dataset": inputs.dataset,
                "generator": inputs.generator,
            },
            **MEASURE.settings(evaluation),
        )
    return [
        row | {"settings": json.dumps(json.loads(row["settings"]) | {"crops": cut}, sort_keys=True)}
        for row in rows
    ]
