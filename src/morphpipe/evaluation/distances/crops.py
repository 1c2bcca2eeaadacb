"""Distances between single-cell crops of generated and of real fields (MorphoDiff, table 2).

The measures, the floor and the controls are those of whole fields. Crops are not independent of
each other: wells remain what the halves of the floor are split by, and intervals are over wells
and generated fields.
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

# As many as MorphoDiff generates of a perturbation (section 3.2).
PER_CONDITION = 500
_CROP = re.compile(r"(?P<field>.+)_c\d{3,}")
_CONDITION = ["cell_type", "perturbation", "training_seed", "sampling_seed"]


@dataclass(frozen=True)
class CropInputs:
    """What the table of crops is made of.

    Attributes
    ----------
    split
        Split table of the fields.
    real_crops, generated_crops
        Archives of crops, as `morphpipe.datasets.preparation.crops.write_crops` makes them.
    experiment, dataset, generator
        Names for the table.
    evaluation
        The experiment's `evaluation`, plain values.
    order, size
        How the crops were cut.
    real, generated
        Folders of feature tables of the crops, by encoder.
    per_condition
        Most crops of a cell type and perturbation: so many generated ones of each pair of seeds,
        so many training ones, and twice as many held-out ones, which the floor halves. A field
        holds dozens, and a kernel distance looks at all pairs.
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
    """The field that a crop was cut out of.

    Raises
    ------
    DataError
        If the id is not that of a crop.
    """
    match = _CROP.fullmatch(crop_id)
    if match is None:
        raise DataError(
            f"{crop_id!r} is no crop's id (a field's with _c and a number behind it): give "
            "archives of crops, not of fields."
        )
    return match["field"]


def draw_crops(
    archives: Iterable[str], fields: Set[str] | None, at_most: int, seed: int
) -> frozenset[str]:
    """Draw crops at random, the same number at most of every condition and pair of seeds.

    Parameters
    ----------
    archives
        Of crops; only their tables are read, one at a time.
    fields
        Ids of the fields whose crops may be drawn; None for all.
    at_most
        How many of a cell type and perturbation.
    seed
        Of the draws.

    Returns
    -------
    frozenset
        The crops' ids.

    Raises
    ------
    DataError
        When none is of these fields, or an archive is not of crops.
    """
    parts = []
    for path in archives:
        keys = read_fields(path).keys()[["field_id", *_CONDITION]]
        if fields is not None:
            keys = keys[keys["field_id"].map(field_of).isin(fields)]
        parts.append(_drawn(keys, at_most, seed))
    # What is in the draw of all is in the draw of its own archive.
    drawn = frozenset(_drawn(pd.concat(parts), at_most, seed)["field_id"])
    if not drawn:
        raise DataError("None of the crops is of a field on the side of the split that is needed.")
    return drawn


def _drawn(keys: pd.DataFrame, at_most: int, seed: int) -> pd.DataFrame:
    condition = keys.groupby(_CONDITION, dropna=False).ngroup()
    return keys[thinned(keys["field_id"], condition, at_most, seed)]


def crop_sets(inputs: CropInputs) -> Iterator[tuple[FeatureSet, FeatureSet, FeatureSet]]:
    """Generated, held-out real and training real crops, encoder by encoder and view by view.

    The views are named after the crops, "crop96 all" for instance: no one takes their rows for
    those of fields.
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
    """Crops under the name of their view; those of a generated field as one unit."""
    keys = crops.keys
    if crops.is_generated:
        keys = keys.assign(well=keys["field_id"].map(field_of))
    return replace(crops, keys=keys, view=view)


def measure_crop_distances(inputs: CropInputs) -> list[dict[str, Any]]:
    """Fréchet and kernel distances of crops, with floors and controls.

    Returns
    -------
    list of dict
        Rows of the metric table; their settings say how the crops were cut and drawn.
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
