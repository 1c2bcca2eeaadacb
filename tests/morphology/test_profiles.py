import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.morphology.profiles import (
    Profiles,
    cell_counts,
    feature_columns,
    field_profiles,
    read_profiles,
    well_profiles,
    write_profiles,
)
from morphpipe.morphology.tables import FieldMeasurements, image_table, join, object_table
from morphpipe.tables.fields import FIELD_SCHEMA, FieldTable, write_fields
from morphpipe.tables.manifest import Channel, ChannelManifest

from .profile_data import SOURCE, make_profiles, profiles

AREAS = {"f0": [1.0, 2.0, 9.0], "f1": [4.0, 6.0], "f2": [5.0]}


def write_field_table(folder, names, origin="real"):
    rows = [
        {name: None for name in FIELD_SCHEMA.names}
        | {
            "field_id": name,
            "dataset": "test",
            "origin": origin,
            "cell_type": "U2OS",
            "batch": "b" if origin == "real" else None,
            "plate": "1" if origin == "real" else None,
            "well": f"A0{1 + place // 2}" if origin == "real" else None,
            "height": 8,
            "width": 8,
            "perturbation": "x",
            "perturbation_kind": "sirna",
            "control": "none",
            "channels": [{"file": f"{name}.png", "offset": None, "length": None,
                          "compression": None}],
        }
        for place, name in enumerate(names)
    ]  # fmt: skip
    manifest = ChannelManifest((Channel("DNA", "Hoechst"),), None, 8, "CC0", "test")
    table = FieldTable(pa.Table.from_pylist(rows, schema=FIELD_SCHEMA), manifest, folder)
    path = folder / "fields.parquet"
    write_fields(table, path)
    return path


def measurements(name, areas, *, reason=None):
    if reason:
        return FieldMeasurements(name, reason, 0.1, {}, {})
    values = np.array(areas)
    number = np.arange(1.0, len(values) + 1)
    return FieldMeasurements(
        name,
        None,
        0.1,
        {"Count_Nuclei": float(len(values)), "Granularity_1_DNA": 7.0, "Empty": float("nan")},
        {
            "Nuclei": {"AreaShape_Area": values, "Number_Object_Number": number},
            "Cells": {"AreaShape_Area": 10 * values, "Parent_Nuclei": number},
        },
    )


def write_measurements(folder, parts, name="shard"):
    """One table of images and one of objects."""
    images, objects = folder / f"{name}-image.parquet", folder / f"{name}-objects.parquet"
    for path, table in (
        (images, image_table(parts, [])),
        (objects, object_table(parts, {"Nuclei": [], "Cells": []})),
    ):
        part = folder / f"{path.stem}-part.parquet"
        pa.parquet.write_table(table, part)
        join([part], path, SOURCE)
    return images, objects


@pytest.fixture
def measured(tmp_path):
    """Two tables: three fields with cells and one without; one that failed."""
    write = [
        [measurements(name, AREAS[name]) for name in ("f0", "f1")],
        [
            measurements("f2", AREAS["f2"]),
            measurements("f3", []),
            measurements("f4", [], reason="the plane is cut short"),
        ],
    ]
    paths = [write_measurements(tmp_path, part, f"s{i}") for i, part in enumerate(write)]
    fields = write_field_table(tmp_path, ["f4", "f3", "f2", "f1", "f0"])
    return [p[0] for p in paths], [p[1] for p in paths], [fields]


def test_objects_become_medians_and_failed_fields_no_row(measured):
    result = field_profiles(*measured)
    table = result.table.set_index("Metadata_field_id")
    assert list(table.index) == ["f0", "f1", "f2", "f3"]
    assert result.failed == 1
    assert table["Nuclei_AreaShape_Area"].tolist()[:3] == [2.0, 5.0, 5.0]
    assert table["Cells_AreaShape_Area"].tolist()[:3] == [20.0, 50.0, 50.0]
    assert table["Image_Granularity_1_DNA"].tolist() == [7.0] * 4
    assert table["Metadata_well"].tolist() == ["A03", "A02", "A02", "A01"]


def test_a_field_without_cells_is_a_row_without_object_features(measured):
    table = field_profiles(*measured).table
    assert cell_counts(table).tolist() == [3, 2, 1, 0]
    assert table.loc[3, ["Nuclei_AreaShape_Area", "Cells_AreaShape_Area"]].isna().all()


def test_a_screen_without_any_cell_has_profiles_too(tmp_path):
    images, objects = write_measurements(tmp_path, [measurements(n, []) for n in ("f0", "f1")])
    table = field_profiles([images], [objects], [write_field_table(tmp_path, ["f0", "f1"])]).table
    assert cell_counts(table).tolist() == [0, 0]
    assert feature_columns(table) == ["Image_Count_Nuclei", "Image_Granularity_1_DNA"]


def test_numbers_of_objects_and_what_nobody_measured_are_no_features(measured):
    assert feature_columns(field_profiles(*measured).table) == [
        "Cells_AreaShape_Area",
        "Nuclei_AreaShape_Area",
        "Image_Count_Nuclei",
        "Image_Granularity_1_DNA",
    ]


def test_tables_that_do_not_belong_together_are_refused(measured, tmp_path):
    images, objects, fields = measured
    with pytest.raises(DataError, match="no measured image"):
        field_profiles(images[:1], objects, fields)
    with pytest.raises(DataError, match="two tables"):
        field_profiles(images, [*objects, objects[0]], fields)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(DataError, match="every field table"):
        field_profiles(images, objects, [write_field_table(other, ["f0"])])


def test_profiles_survive_the_disk(measured, tmp_path):
    result = field_profiles(*measured)
    write_profiles(result, tmp_path / "profiles.parquet")
    again = read_profiles([tmp_path / "profiles.parquet"])
    assert (again.source, again.failed) == (result.source, 1)
    features = feature_columns(result.table)
    pd.testing.assert_frame_equal(again.table[features], result.table[features])
    with pytest.raises(DataError, match="more than one profile"):
        read_profiles([tmp_path / "profiles.parquet"] * 2)


def test_tables_of_profiles_are_joined_and_told_from_others(tmp_path):
    parts = [make_profiles(np.zeros((2, 3)), start=start) for start in (0, 2)]
    for place, part in enumerate(parts):
        write_profiles(Profiles(part, SOURCE, place), tmp_path / f"{place}.parquet")
    joined = read_profiles([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert (len(joined), joined.failed) == (4, 1)
    write_parquet(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="does not contain profiles"):
        read_profiles([tmp_path / "x.parquet"])


def test_wells_are_medians_over_their_fields():
    table = make_profiles([[1.0, 5.0], [3.0, np.nan], [9.0, 1.0], [11.0, 3.0], [13.0, 2.0]])
    table["Metadata_moa"] = None
    wells = well_profiles(table)
    first, second = feature_columns(table)[:2]
    assert wells[first].tolist() == [2.0, 10.0, 13.0]
    assert wells[second].tolist() == [5.0, 2.0, 2.0]
    assert wells["Metadata_fields"].tolist() == [2, 2, 1]
    assert wells["Metadata_moa"].isna().all()
    assert "Metadata_field_id" not in wells


def test_generated_images_have_no_wells():
    both = profiles(
        make_profiles(np.zeros((2, 3))), make_profiles(np.zeros((2, 3)), origin="generated")
    )
    with pytest.raises(DataError, match="2 fields have no well"):
        well_profiles(both.table)
