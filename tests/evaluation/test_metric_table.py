import json

import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.tables.metric_table import (
    METRIC_SCHEMA,
    metric_row,
    metric_table,
    read_metric_table,
)

ROW = {"dataset": "rxrx1", "experiment": "e", "metric": "FID", "value": 1.5}


def test_columns_are_those_of_the_design():
    of_the_design = (
        "dataset experiment generator metric extractor view comparison regime task cell_type "
        "perturbation group training_seed sampling_seed n_left n_right value ci_low ci_high "
        "settings"
    )
    assert " ".join(METRIC_SCHEMA.names) == of_the_design


def test_rows_become_a_table_and_come_back():
    rows = [
        metric_row(**ROW, training_seed=3, n_left=500, settings={"b": 1, "a": [None, "x"]}),
        metric_row(**{**ROW, "value": None}, settings={"reason": "4 images"}),
    ]
    table = metric_table(rows)
    assert table.schema.equals(METRIC_SCHEMA)
    assert table.to_pylist() == rows
    assert rows[0]["settings"] == '{"a": [null, "x"], "b": 1}'
    assert json.loads(rows[1]["settings"]) == {"reason": "4 images"}
    assert metric_table([]).schema.equals(METRIC_SCHEMA)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"vlaue": 1.0}, "no column vlaue"),
        ({"dataset": None}, "lacks its dataset"),
        ({"value": float("nan")}, "value of metric FID is nan"),
        ({"ci_high": float("inf")}, "ci_high"),
        ({"value": None}, "no reason"),
        ({"settings": {"a": float("nan")}}, "JSON"),
        ({"settings": {"a": object()}}, "JSON"),
    ],
)
def test_broken_rows_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        metric_row(**{**ROW, **columns})


def test_tables_from_before_there_were_groups_are_read(tmp_path):
    table = metric_table([metric_row(**ROW)])
    write_parquet(table.drop_columns(["group"]), tmp_path / "old.parquet")
    assert read_metric_table(tmp_path / "old.parquet").equals(table)
    grouped = metric_table([metric_row(**ROW, group="moa: Eg5 inhibitors")])
    write_parquet(grouped, tmp_path / "new.parquet")
    assert read_metric_table(tmp_path / "new.parquet").equals(grouped)
    write_parquet(pa.table({"metric": ["FID"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not a metric table"):
        read_metric_table(tmp_path / "other.parquet")
