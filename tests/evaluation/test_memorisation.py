import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.coverage.memorisation import PAIRS, memorisation
from morphpipe.tables.metric_table import metric_table
from morphpipe.tables.schemas import PAIR_SCHEMA

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}
MEANS = {("A", "control"): 0.0, ("A", "1"): 2.0, ("B", "control"): 4.0}


@pytest.fixture(scope="module")
def measured(make_features):
    training = make_features(MEANS, seed=0, wells=12)
    real = make_features(MEANS, seed=1, batch="b1")
    fresh = make_features(MEANS, seed=2, origin="generated", wells=40, fields_per_well=1)
    # Of a second training, half of the images are training images with a little noise.
    keys = make_features(
        MEANS, seed=3, origin="generated", wells=40, fields_per_well=1, seeds=(1, 0)
    )
    copied = keys.features.copy()
    copied[::2] = training.features[: len(copied[::2])] + 0.01
    copying = FeatureSet(keys.keys, copied, keys.extractor, keys.view)

    generated = FeatureSet(
        pd.concat([fresh.keys, copying.keys], ignore_index=True),
        np.concatenate([fresh.features, copying.features]),
        fresh.extractor,
        fresh.view,
    )
    settings = settings_of("memorisation", bootstrap=50)
    rows, pairs = memorisation(generated, real, training, context=CONTEXT, **settings)
    assert pa.Table.from_pylist(pairs, schema=PAIR_SCHEMA).num_rows == 3 * PAIRS
    return metric_table(rows).to_pandas(), pd.DataFrame(pairs), training, copying


def overall(table, metric, comparison, training_seed=None):
    rows = table[(table["metric"] == metric) & (table["comparison"] == comparison)]
    rows = rows[rows["cell_type"] == "all"]
    if training_seed is not None:
        rows = rows[rows["training_seed"] == training_seed]
    assert len(rows) == 1
    return rows.iloc[0]


def test_copies_are_flagged_and_new_images_are_not(measured):
    table, *_ = measured
    flags = {}
    for comparison, seed in (("copy-training", None), ("real-training", None),
                             ("generated-training", 0), ("generated-training", 1)):  # fmt: skip
        row = overall(table, "memorised_share", comparison, seed)
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        flags[comparison, seed] = json.loads(row["settings"])["flagged"]
    assert flags == {
        ("copy-training", None): True,
        ("real-training", None): False,
        ("generated-training", 0): False,
        ("generated-training", 1): True,
    }
    assert overall(table, "memorised_share", "copy-training")["value"] == 1
    assert overall(table, "nearest_training_distance", "copy-training")["value"] == 0
    assert overall(table, "data_copying", "copy-training")["value"] == 1
    assert overall(table, "data_copying", "generated-training", 0)["value"] == pytest.approx(
        0.5, abs=0.12
    )
    ratio = overall(table, "nearest_training_ratio", "generated-training", 0)
    assert ratio["value"] == pytest.approx(1, abs=0.15)
    assert ratio["ci_low"] < ratio["value"] < ratio["ci_high"]
    assert set(table["cell_type"]) == {"all", "A", "B"}


def test_closest_pairs_are_found(measured):
    _, pairs, training, copying = measured
    closest = pairs[(pairs["comparison"] == "generated-training") & (pairs["training_seed"] == 1)]
    assert closest["rank"].tolist() == list(range(1, PAIRS + 1))
    assert closest["nearness"].is_monotonic_increasing
    assert (closest["distance"] < closest["threshold"]).all()
    new = pairs[pairs["comparison"] == "real-training"]
    assert (new["distance"] >= new["threshold"] - 1e-9).all()
    source = dict(zip(copying.keys["field_id"][::2], training.keys["field_id"], strict=False))
    for pair in closest.itertuples():
        assert source[pair.field_id] == pair.training_field_id
        assert pair.distance == pytest.approx(0.01 * 8**0.5, abs=1e-4)


def test_typical_images_are_no_copies(make_features):
    # All of a narrow middle of the distribution: nearer to training images, but to many of them.
    means = {("A", "control"): 0.0}
    training = make_features(means, seed=0, wells=40, width=4)
    real = make_features(means, seed=1, wells=20, width=4, batch="b1")
    made = make_features(means, seed=2, wells=80, width=4, origin="generated", fields_per_well=1)
    typical = FeatureSet(made.keys, 0.3 * made.features, made.extractor, made.view)
    settings = settings_of("memorisation", bootstrap=20)
    rows, _ = memorisation(typical, real, training, context=CONTEXT, **settings)
    table = metric_table(rows).to_pandas()
    assert overall(table, "data_copying", "generated-training")["value"] > 0.7
    share = overall(table, "memorised_share", "generated-training")
    assert not json.loads(share["settings"])["flagged"]


def test_training_images_are_not_held_out(make_features):
    real = make_features(MEANS, seed=0)
    generated = make_features(MEANS, seed=1, origin="generated")
    settings = settings_of("memorisation")
    rows, pairs = memorisation(generated, real, real, context=CONTEXT, **settings)
    assert [row["value"] for row in rows] == [None]
    assert "96 held-out images are training images" in rows[0]["settings"]
    assert pairs == []
    with pytest.raises(DataError, match="generated images were given"):
        memorisation(generated, generated, real, context=CONTEXT, **settings)
