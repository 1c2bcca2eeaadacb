import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, check_comparable

MEANS = {("HUVEC", "control"): 0.0, ("RPE", "1"): 1.0}


def test_selection_keeps_keys_and_features_together(make_features):
    images = make_features(MEANS, seed=0)
    chosen = images.select(images.column("cell_type") == "RPE")
    assert len(chosen) == 32
    assert set(chosen.column("perturbation")) == {"1"}
    np.testing.assert_array_equal(chosen.features, images.features[32:])
    again = images.select([40, 3])
    assert list(again.keys["field_id"]) == [images.keys["field_id"][i] for i in (40, 3)]
    np.testing.assert_array_equal(again.features, images.features[[40, 3]])
    assert len(images.select(np.zeros(64, dtype=bool))) == 0


def test_wells_are_the_units_of_real_images_and_images_those_of_generated_ones(make_features):
    assert len(set(make_features(MEANS, seed=0).groups)) == 16
    made = make_features(MEANS, seed=0, origin="generated")
    assert len(set(made.groups)) == 64
    # Crops of one generated field are one unit: their well is the field.
    fields = [f"field-{i // 4}" for i in range(64)]
    crops = FeatureSet(made.keys.assign(well=fields), made.features, "test", "crop96 rgb")
    assert crops.groups.tolist() == [i // 4 for i in range(64)]


def test_seeds_are_told_apart(make_features):
    parts = [
        make_features(MEANS, seed=i, origin="generated", seeds=pair)
        for i, pair in enumerate([(1, 0), (0, 2), (0, 1)])
    ]
    images = FeatureSet(
        pd.concat([p.keys for p in parts]),
        np.concatenate([p.features for p in parts]),
        "test",
        "rgb",
    )
    found = list(images.by_seed())
    assert [(a, b) for a, b, _ in found] == [(0, 1), (0, 2), (1, 0)]
    np.testing.assert_array_equal(found[0][2].features, parts[2].features)
    ((training, sampling, everything),) = make_features(MEANS, seed=0).by_seed()
    assert training is sampling is None
    assert len(everything) == 64


def test_broken_sets_are_refused(make_features):
    good = make_features(MEANS, seed=0)
    keys, features = good.keys, good.features
    nan = features.copy()
    nan[5, 2] = np.nan
    origin = np.where(np.arange(64) == 0, "generated", "real")
    for bad_keys, bad_features, message in [
        (keys.drop(columns="plate"), features, "lack plate"),
        (keys.iloc[1:], features, "64 rows for 63 keys"),
        (keys.assign(field_id="same"), features, "more than once"),
        (keys, nan, "NaN"),
        (keys, features[:, 0], "shape"),
        (keys.assign(origin=origin), features, "origins"),
    ]:
        with pytest.raises(DataError, match=message):
            FeatureSet(bad_keys, bad_features, "test", "rgb")
    with pytest.raises(DataError, match="mask"):
        good.select(np.ones(3, dtype=bool))


def test_only_like_is_compared_with_like(make_features):
    good = make_features(MEANS, seed=0)
    with pytest.raises(DataError, match="other on view rgb"):
        check_comparable(good, make_features(MEANS, seed=0, extractor="other"))
    with pytest.raises(DataError, match="view DNA"):
        check_comparable(good, make_features(MEANS, seed=0, view="DNA"))
    with pytest.raises(DataError, match="columns"):
        check_comparable(good, make_features(MEANS, seed=0, width=4))


@pytest.mark.parametrize(
    ("rows", "shared"),
    [(slice(None), True), (slice(8, 20), True), ([5], True), ([3, 4, 6], False), ([4, 3], False)],
)
def test_consecutive_rows_are_no_copy(make_features, rows, shared):
    images = make_features({("A", "1"): 0.0, ("A", "2"): 1.0}, seed=0)
    positions = np.arange(len(images))[rows]
    chosen = images.select(positions)
    np.testing.assert_array_equal(chosen.features, images.features[positions])
    assert chosen.keys["field_id"].tolist() == images.keys["field_id"].iloc[positions].tolist()
    assert np.shares_memory(chosen.features, images.features) == shared
