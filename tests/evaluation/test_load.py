from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.feature_set import check_comparable, joined
from morphpipe.evaluation.core.load import load_feature_set
from morphpipe.tables.feature_table import Extraction, FeatureTable, write_features

EXTRACTION = Extraction("resnet", "resnet18", "a" * 64, "all", ("DNA", "ER"))


def _features(path, ids, transforms=None, extraction=EXTRACTION):
    transforms = np.zeros(len(ids), np.int8) if transforms is None else np.array(transforms)
    values = np.arange(2 * len(ids), dtype=np.float32).reshape(-1, 2)
    write_features(FeatureTable(tuple(ids), transforms.astype(np.int8), values, extraction), path)
    return values


@pytest.fixture
def tables(make_fields, make_row, tmp_path):
    rows = [make_row(f"f{i}", perturbation="ab"[i % 2], well=f"B0{i}") for i in range(4)]
    make_fields(tmp_path / "a.zip", 4, rows=rows)
    return tmp_path


def test_features_meet_what_is_known_of_their_images(tables):
    values = _features(tables / "x.parquet", ["f3", "f0"])
    found = load_feature_set([tables / "x.parquet"], [tables / "a.zip"], needed={"f0"})
    assert found.keys["field_id"].tolist() == ["f3", "f0"]
    assert found.keys["perturbation"].tolist() == ["b", "a"]
    assert found.keys["well"].tolist() == ["B03", "B00"]
    np.testing.assert_array_equal(found.features, values)
    assert (found.extractor, found.view) == ("resnet", "all")


def test_sites_can_take_the_place_of_wells(make_fields, make_row, tmp_path):
    places = [("B02", 1), ("B02", 2), ("B02", 2), ("B03", 1)]
    rows = [make_row(f"f{i}", well=well, site=site) for i, (well, site) in enumerate(places)]
    make_fields(tmp_path / "a.zip", 4, rows=rows)
    _features(tmp_path / "x.parquet", [f"f{i}" for i in range(4)])
    given = [tmp_path / "x.parquet"], [tmp_path / "a.zip"]
    by_well, by_site = load_feature_set(*given), load_feature_set(*given, units="site")
    assert [len(set(images.groups)) for images in (by_well, by_site)] == [2, 3]
    assert by_site.groups[1] == by_site.groups[2]


def test_turned_images_are_left_out(tables):
    values = _features(tables / "x.parquet", ["f0", "f0", "f1"], [0, 4, 0])
    found = load_feature_set([tables / "x.parquet"], [tables / "a.zip"], needed=set())
    assert found.keys["field_id"].tolist() == ["f0", "f1"]
    np.testing.assert_array_equal(found.features, values[[0, 2]])


def test_image_that_no_table_knows_is_named(tables):
    _features(tables / "x.parquet", ["f0", "g9"])
    with pytest.raises(DataError, match=r"1 images with features .* for example 'g9'"):
        load_feature_set([tables / "x.parquet"], [tables / "a.zip"])


def test_image_with_features_twice_is_refused(tables):
    _features(tables / "x.parquet", ["f0"])
    with pytest.raises(DataError, match="f0"):
        load_feature_set([tables / "x.parquet"] * 2, [tables / "a.zip"], needed=set())


def test_every_image_has_features(tables):
    _features(tables / "x.parquet", ["f0"])
    # Turned, it is not the image itself.
    _features(tables / "y.parquet", ["f2", "f1"], [0, 4])
    paths = [tables / "x.parquet", tables / "y.parquet"]
    with pytest.raises(
        DataError, match=r"2 images have no features in .*x\.parquet .*for example 'f1'"
    ):
        load_feature_set(paths, [tables / "a.zip"])
    with pytest.raises(DataError, match=r"1 images have no features in .*for example 'f3'"):
        load_feature_set(paths, [tables / "a.zip"], needed={"f0", "f3"})
    assert len(load_feature_set(paths, [tables / "a.zip"], needed={"f0", "f2"})) == 2
    _features(tables / "none.parquet", [])
    with pytest.raises(DataError, match=r"4 images .*.*none\.parquet, for example"):
        load_feature_set([tables / "none.parquet"], [tables / "a.zip"])


def test_only_what_is_wanted_is_taken(tables):
    values = _features(tables / "x.parquet", ["f3", "f0", "f0"], [0, 0, 4])
    _features(tables / "y.parquet", ["f1", "f2"])
    # Would be refused as a feature table: no wanted image is in it, and it is not opened as one.
    write_parquet(pa.table({"field_id": ["f7"]}), tables / "z.parquet")
    paths = [tables / f"{name}.parquet" for name in "xyz"]
    found = load_feature_set(paths, [tables / "a.zip"], {"f0", "f2"})
    assert found.keys["field_id"].tolist() == ["f0", "f2"]
    assert found.keys["well"].tolist() == ["B00", "B02"]
    np.testing.assert_array_equal(found.features, [values[1], [2, 3]])


def test_what_is_wanted_has_to_be_there(tables):
    _features(tables / "x.parquet", ["f0"])
    with pytest.raises(DataError, match="2 images have no features, among them 'f1'"):
        load_feature_set([tables / "x.parquet"], [tables / "a.zip"], {"f0", "f2", "f1"})
    other = replace(EXTRACTION, weights_sha256="b" * 64)
    features = FeatureTable(("f1",), np.zeros(1, np.int8), np.ones((1, 2), np.float32), other)
    write_features(features, tables / "y.parquet")
    with pytest.raises(DataError, match=r"y\.parquet was made by"):
        load_feature_set(
            [tables / "x.parquet", tables / "y.parquet"], [tables / "a.zip"], {"f0", "f1"}
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights_sha256": "b" * 64}, "weights .* a{64}, .* with b{64}"),
        ({"kind": "inception"}, "kind of encoder resnet18, .* with inception"),
        ({"channels": ("DNA",)}, "channels DNA, ER, .* with DNA"),
        ({"extractor": "other"}, "features of resnet on view all .* those of other"),
    ],
)
def test_features_of_two_sides_are_of_one_encoder(tables, change, named):
    ids = [f"f{i}" for i in range(4)]
    _features(tables / "x.parquet", ids)
    _features(tables / "y.parquet", ids, extraction=replace(EXTRACTION, **change))
    left, right, same = (
        load_feature_set([tables / f"{name}.parquet"], [tables / "a.zip"]) for name in "xyx"
    )
    # What is left after a selection knows still what it is made by.
    chosen = right.select([0, 1])
    check_comparable(left, same)
    with pytest.raises(DataError, match=named) as caught:
        check_comparable(left, chosen)
    if "extractor" not in change:
        assert str(tables / "x.parquet") in str(caught.value)
        assert str(tables / "y.parquet") in str(caught.value)
    with pytest.raises(DataError, match=named):
        joined(left, chosen)


def test_one_channel_is_the_same_image_whatever_is_beside_it(tables):
    ids = [f"f{i}" for i in range(4)]
    for name, channels in (("x", ("DNA", "ER")), ("y", ("DNA",))):
        extraction = replace(EXTRACTION, view="DNA", channels=channels)
        _features(tables / f"{name}.parquet", ids, extraction=extraction)
    check_comparable(
        *(load_feature_set([tables / f"{name}.parquet"], [tables / "a.zip"]) for name in "xy")
    )
