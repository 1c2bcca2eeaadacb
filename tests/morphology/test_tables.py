import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.morphology.tables import (
    METADATA_KEY,
    FieldMeasurements,
    MeasurementSource,
    image_table,
    iterate_objects,
    join,
    object_table,
    read_image_measurements,
    read_source,
)

SOURCE = MeasurementSource("p.cppipe", "ab", "4.2.8.1", {"OrigDNA": "DNA"}, "channels")
DECLARED = {"Nuclei": ("Area", "Solidity"), "Cells": ("Area", "Parent_Nuclei")}


def measured(field_id, nuclei=(), cells=(), **image):
    objects = {}
    if len(nuclei):
        objects["Nuclei"] = {"Area": np.array(nuclei, float)}
    if len(cells):
        objects["Cells"] = {
            "Area": np.array(cells, float),
            "Parent_Nuclei": np.arange(1.0, len(cells) + 1),
        }
    return FieldMeasurements(field_id, None, 1.5, image, objects)


FAILED = FieldMeasurements("bad", "it ends early", 0.1, {}, {})


def test_images_have_a_row_each_failed_ones_with_their_reason():
    table = image_table([measured("a", Count_Nuclei=2.0), FAILED], ["Count_Nuclei", "Never"])
    assert table.to_pylist() == [
        {"field_id": "a", "status": "measured", "reason": None, "seconds": 1.5,
         "Count_Nuclei": 2.0, "Never": None},
        {"field_id": "bad", "status": "failed", "reason": "it ends early", "seconds": 0.1,
         "Count_Nuclei": None, "Never": None},
    ]  # fmt: skip
    assert table.schema.field("Count_Nuclei").type == pa.float64()


def test_what_is_not_a_number_is_null_and_infinity_stays():
    table = image_table([measured("a", x=float("nan"), y=float("inf"))], [])
    assert table["x"].to_pylist() == [None]
    assert table["y"].to_pylist() == [float("inf")]


def test_objects_stand_by_field_compartment_and_number():
    fields = [measured("a", nuclei=[10, 20], cells=[30]), FAILED, measured("b", nuclei=[40])]
    table = object_table(fields, DECLARED)
    assert table.schema.field("Area").type == pa.float32()
    assert table.schema.field("object").type == pa.int32()
    assert table.to_pylist() == [
        {"field_id": "a", "compartment": "Nuclei", "object": 1, "Area": 10.0, "Solidity": None,
         "Parent_Nuclei": None},
        {"field_id": "a", "compartment": "Nuclei", "object": 2, "Area": 20.0, "Solidity": None,
         "Parent_Nuclei": None},
        {"field_id": "a", "compartment": "Cells", "object": 1, "Area": 30.0, "Solidity": None,
         "Parent_Nuclei": 1.0},
        {"field_id": "b", "compartment": "Nuclei", "object": 1, "Area": 40.0, "Solidity": None,
         "Parent_Nuclei": None},
    ]  # fmt: skip


def test_a_measurement_of_fewer_objects_than_there_are_is_null_behind_them():
    field = FieldMeasurements(
        "a", None, 1.0, {}, {"Nuclei": {"x": np.array([1.0, 2.0, 3.0]), "y": np.array([5.0])}}
    )
    table = object_table([field], {})
    assert table["y"].to_pylist() == [5.0, None, None]


def test_fields_without_objects_give_no_rows_but_all_columns():
    table = object_table([FAILED, measured("empty")], DECLARED)
    assert len(table) == 0
    assert table.schema.names == [
        "field_id", "compartment", "object", "Area", "Solidity", "Parent_Nuclei",
    ]  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(name, fields, source=SOURCE):
        part = tmp_path / f"{name}.part"
        write_parquet(object_table(fields, DECLARED), part)
        join([part], tmp_path / f"{name}.objects.parquet", source)
        write_parquet(image_table(fields, ["Count"]), part)
        join([part], tmp_path / f"{name}.image.parquet", source)
        return tmp_path / f"{name}.image.parquet", tmp_path / f"{name}.objects.parquet"

    return write


def test_batches_become_row_groups_of_one_file(tmp_path):
    batches = [[measured("a", [1, 2])], [measured("empty")], [measured("b", [3], extra=1.0)]]
    parts = []
    for i, batch in enumerate(batches):
        parts.append(tmp_path / f"{i}.parquet")
        write_parquet(object_table(batch, DECLARED), parts[-1])
    assert join(parts, tmp_path / "all.parquet", SOURCE) == 3
    file = pq.ParquetFile(tmp_path / "all.parquet")
    # A batch without objects leaves none.
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 1]
    assert file.read()["field_id"].to_pylist() == ["a", "a", "b"]
    assert json.loads(file.schema_arrow.metadata[METADATA_KEY]) == {
        "pipeline": "p.cppipe", "pipeline_sha256": "ab", "cellprofiler": "4.2.8.1",
        "channels": {"OrigDNA": "DNA"}, "images": "channels",
    }  # fmt: skip


def test_a_column_that_only_one_batch_has_is_null_in_the_others(tmp_path):
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    write_parquet(image_table([measured("a", x=1.0)], ["declared"]), parts[0])
    write_parquet(image_table([measured("b", y=2.0)], ["declared"]), parts[1])
    join(parts, tmp_path / "all.parquet", SOURCE)
    frame = read_image_measurements([tmp_path / "all.parquet"])
    assert list(frame.columns[3:]) == ["declared", "x", "y"]
    assert frame["x"].tolist()[0] == 1.0
    assert frame[["x", "y"]].isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_tables_are_read_back_below_each_other(write):
    first, first_objects = write("first", [measured("a", [1], Count=1.0)])
    second, second_objects = write("second", [measured("b", [2], Count=2.0), FAILED])
    frame = read_image_measurements([first, second])
    assert frame["field_id"].tolist() == ["a", "b", "bad"]
    assert frame["Count"].tolist()[:2] == [1.0, 2.0]
    parts = list(iterate_objects([first_objects, second_objects], ["field_id", "Area"]))
    assert [part["Area"].tolist() for part in parts] == [[1.0], [2.0]]
    assert read_source(first) == SOURCE


def test_tables_of_different_pipelines_do_not_mix(write):
    first, _ = write("first", [measured("a")])
    other = MeasurementSource("p.cppipe", "cd", "4.2.8.1", {"OrigDNA": "DNA"}, "channels")
    second, second_objects = write("second", [measured("b")], other)
    with pytest.raises(DataError, match=r"measured differently: pipeline_sha256 is 'ab'"):
        read_image_measurements([first, second])
    with pytest.raises(DataError, match="measured differently"):
        list(iterate_objects([first, second_objects]))


def test_a_field_measured_twice_is_noticed(write):
    first, _ = write("first", [measured("a")])
    second, _ = write("second", [measured("a")])
    with pytest.raises(DataError, match=r"'a' was measured more than once"):
        read_image_measurements([first, second])


def test_what_is_no_table_of_measurements_is_said(tmp_path):
    with pytest.raises(DataError, match="no tables of measurements"):
        read_image_measurements([])
    with pytest.raises(DataError, match="does not exist"):
        read_source(tmp_path / "missing.parquet")
    write_parquet(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="names no CellProfiler pipeline"):
        read_source(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_source(tmp_path / "text.parquet")
