"""What is measured in process is what CellProfiler's own command line measures, as float32."""

import os

import numpy as np
import pandas as pd
import pytest

from morphpipe.tables.fields import concatenate, write_fields

from .command_line import CASES, COMPARTMENTS, measure_by_command_line, read_reference

INTERPRETER = "MORPHPIPE_CELLPROFILER_PYTHON"
KEYS = {"image": ["field_id"], "objects": ["field_id", "compartment", "object"]}
OWN_COLUMNS = ["status", "reason"]

by_pipeline = pytest.mark.parametrize("case", CASES, ids=lambda case: case.pipeline)


@pytest.fixture(scope="module")
def in_process(measure, tmp_path_factory):
    """Measure a case in process, once; gives the tables by kind."""
    done = {}

    def run(case):
        if case.pipeline not in done:
            folder = tmp_path_factory.mktemp(case.pipeline)
            fields = folder / "fields.parquet"
            write_fields(concatenate([case.select()], folder), fields)
            renamed = [f"--channel={image}={name}" for image, name in case.channels.items()]
            measured = measure(fields, case.path, folder, "--images", case.images, *renamed)
            assert measured.code == 0, measured.said
            done[case.pipeline] = {
                "image": pd.read_parquet(measured.image),
                "objects": pd.read_parquet(measured.objects),
            }
        return done[case.pipeline]

    return run


# Units in the last place of a float32. Another processor than the reference's sums in another
# order: seen was 1, in 2 of 330 values of whole images.
ELSEWHERE = 4


def assert_same(found, expected, kind, units=0):
    """Every value of every row and column is the same float32, or so many units apart."""
    keys = KEYS[kind]
    # A measurement that no object has is a column of nulls here and is left out there.
    found, expected = (
        table.drop(columns=OWN_COLUMNS, errors="ignore").dropna(axis=1, how="all").set_index(keys)
        for table in (found, expected)
    )
    assert sorted(found) == sorted(expected)
    assert found.index.is_unique
    assert sorted(found.index) == sorted(expected.index)
    left = found.loc[expected.index, expected.columns].to_numpy(np.float32)
    right = expected.to_numpy(np.float32)
    near = np.abs(left - right) <= units * np.spacing(np.abs(right))
    differ = ~((left == right) | near | (np.isnan(left) & np.isnan(right)))
    wrong = list(expected.columns[differ.any(axis=0)])
    assert not wrong, f"{differ.sum()} of {differ.size} values differ, in {wrong[:20]}"


@by_pipeline
def test_values_are_those_of_the_committed_reference(in_process, case):
    for kind, table in zip(KEYS, read_reference(case.pipeline), strict=True):
        assert_same(in_process(case)[kind], table, kind, ELSEWHERE)


@by_pipeline
def test_values_are_those_of_the_command_line_now(in_process, case):
    python = os.environ.get(INTERPRETER)
    if python is None:
        pytest.skip(f"{INTERPRETER} does not name a Python beside CellProfiler and Java")
    for kind, table in zip(KEYS, measure_by_command_line(python, case), strict=True):
        assert_same(in_process(case)[kind], table, kind)


@by_pipeline
def test_the_reference_is_of_whole_cells(case):
    """A reference without cells, or of a few measurements, would agree with anything."""
    image, objects = read_reference(case.pipeline)
    assert image["field_id"].tolist() == case.select().field_ids
    counts = objects.groupby(["compartment", "field_id"]).size()
    assert set(counts.index.levels[0]) >= set(COMPARTMENTS)
    assert len(counts) == len(counts.index.levels[0]) * case.fields
    assert counts.min() >= 3
    cells = objects[objects["compartment"] == "Cells"].drop(columns=KEYS["objects"])
    assert (cells.nunique() > 1).sum() > 150
